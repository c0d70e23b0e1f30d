//! The operations' ports over the worker's functions: translation of access types, nothing else.

use std::time::Duration;

use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::Key;
use syncbridge_domain::mapping::Mapping;
use syncbridge_domain::preflight::{ListSurvey, SourceSurvey, SurveyWish};
use syncbridge_domain::receipt::{Item, ItemId};
use syncbridge_domain::row::{Presence, SourceRow};
use syncbridge_domain::run::{RunOutcome, TargetSpec};
use syncbridge_domain::table::TableShape;
use syncbridge_manifest as manifest;
use syncbridge_meta_store::MetaStore;
use syncbridge_operations::ports::{
    Adapters, Answer, ConnectionAccess, InstanceAccess, ListState, ListWish, ProofAccess, RowEdit, RowPlace,
    RunJob, SignInAccess,
};
use syncbridge_worker as worker;

/// The real sides.
pub(crate) struct Wiring {
    services: worker::Services,
}

impl Wiring {
    pub(crate) fn new(store: MetaStore, egress: worker::EgressRules, lease_term: Option<Duration>) -> Self {
        let holder = format!("syncbridge process {}", std::process::id());
        Self {
            services: worker::Services::new(store, egress, holder, lease_term),
        }
    }

    /// Asks another service than the machine's own for its identity's tokens.
    pub(crate) fn with_identity_service(self, address: &str) -> Result<Self, Failure> {
        Ok(Self {
            services: self.services.with_identity_service(address)?,
        })
    }
}

fn source_access(access: &InstanceAccess) -> worker::SourceAccess {
    let instance = &access.instance;
    let mut out = worker::SourceAccess::new(
        &instance.host,
        &instance.dbname,
        &instance.user,
        access.password.clone(),
    );
    out.port = instance.port;
    out.tls = match instance.tls.mode {
        manifest::TlsMode::Disable => worker::TlsMode::Disable,
        manifest::TlsMode::Require => worker::TlsMode::Require,
        // Stricter than asked: see the comment on the source's TLS modes.
        manifest::TlsMode::VerifyCa | manifest::TlsMode::VerifyFull => worker::TlsMode::VerifyFull {
            root_pem: access.authority_pem.clone(),
        },
    };
    out
}

fn graph_access(access: &ConnectionAccess) -> worker::GraphAccess {
    use manifest::Cloud as From;
    let custom = matches!(access.cloud, From::Custom { .. });
    worker::GraphAccess {
        tenant: access.tenant.clone(),
        sign_in: match &access.sign_in {
            SignInAccess::Machine { client_id } => worker::GraphSignIn::Machine {
                client_id: client_id.clone(),
            },
            SignInAccess::App { client_id, proof } => worker::GraphSignIn::App {
                client_id: client_id.clone(),
                proof: match proof {
                    ProofAccess::ClientSecret(secret) => worker::Proof::ClientSecret(secret.clone()),
                    ProofAccess::Certificate { pem, key } => worker::Proof::Certificate {
                        pem: pem.clone(),
                        key: key.clone(),
                    },
                    ProofAccess::Federated(file) => worker::Proof::Federated(worker::TokenFile {
                        path: file.path.clone(),
                        is_of_platform: file.is_of_platform,
                        folders: file.folders.clone(),
                    }),
                },
            },
        },
        authority_pem: access.authority_pem.clone(),
        cloud: match &access.cloud {
            From::Global => worker::Cloud::Global,
            From::UsGov => worker::Cloud::UsGov,
            From::UsGovDod => worker::Cloud::UsGovDod,
            From::China => worker::Cloud::China,
            From::Custom {
                authority,
                graph_root,
            } => worker::Cloud::Custom {
                authority: authority.clone(),
                graph_root: graph_root.clone(),
            },
        },
        // Of a real tenant nothing known means the smallest; a simulator says by itself when it is too much.
        licences: access.licences.or((!custom).then_some(1)),
    }
}

fn wish<'a>(wish: &'a ListWish<'a>) -> worker::ListWish<'a> {
    worker::ListWish {
        site: &wish.site,
        name: wish.name,
        description: wish.description.clone(),
        mapping: wish.mapping,
        options: wish.options,
        own: wish.own.clone(),
        known: wish.known.clone(),
        learn_time_zone: wish.learn_time_zone,
        archives: wish.archives,
    }
}

fn state(plan: worker::ListPlan) -> ListState {
    ListState {
        target: plan.target,
        web_url: plan.web_url,
        creates: plan.creates,
        columns: plan.columns,
        time_zone: plan.time_zone.map(|zone| zone.name().to_owned()),
        learns_time_zone: false,
        changed: plan.changed,
        facts: plan.facts,
    }
}

impl Adapters for Wiring {
    fn describe_table<'a>(
        &'a self,
        access: &'a InstanceAccess,
        schema: &'a str,
        table: &'a str,
    ) -> Answer<'a, TableShape> {
        Box::pin(async move {
            worker::describe_table(&source_access(access), &worker::TableRef::new(schema, table)).await
        })
    }

    fn survey_source<'a>(&'a self, place: RowPlace<'a>, wish: &'a SurveyWish) -> Answer<'a, SourceSurvey> {
        Box::pin(async move {
            worker::survey_source(&source_access(place.access), place.spec, place.mapping, wish).await
        })
    }

    fn survey_list<'a>(
        &'a self,
        access: &'a ConnectionAccess,
        target: &'a TargetSpec,
    ) -> Answer<'a, ListSurvey> {
        Box::pin(async move { worker::survey_list(&self.services, &graph_access(access), target).await })
    }

    fn read_rows<'a>(&'a self, place: RowPlace<'a>, keys: &'a [Key]) -> Answer<'a, Vec<Presence<SourceRow>>> {
        Box::pin(async move {
            worker::read_rows(&source_access(place.access), place.spec, place.mapping, keys).await
        })
    }

    fn edit_row<'a>(&'a self, place: RowPlace<'a>, edit: RowEdit<'a>) -> Answer<'a, SourceRow> {
        Box::pin(async move {
            worker::edit_row(
                &source_access(place.access),
                place.spec,
                place.mapping,
                edit.seen,
                edit.changes,
                edit.accept,
            )
            .await
        })
    }

    fn read_item<'a>(
        &'a self,
        access: &'a ConnectionAccess,
        target: &'a TargetSpec,
        mapping: &'a Mapping,
        item: &'a ItemId,
    ) -> Answer<'a, Option<Item>> {
        Box::pin(async move {
            worker::read_item(&self.services, &graph_access(access), target, mapping, item).await
        })
    }

    fn list_plan<'a>(&'a self, access: &'a ConnectionAccess, wanted: ListWish<'a>) -> Answer<'a, ListState> {
        Box::pin(async move {
            worker::list_plan(&self.services, &graph_access(access), &wish(&wanted))
                .await
                .map(state)
        })
    }

    fn provision<'a>(&'a self, access: &'a ConnectionAccess, wanted: ListWish<'a>) -> Answer<'a, ListState> {
        Box::pin(async move {
            worker::provision(&self.services, &graph_access(access), &wish(&wanted))
                .await
                .map(state)
        })
    }

    fn run<'a>(&'a self, job: RunJob<'a>) -> Answer<'a, RunOutcome> {
        Box::pin(async move {
            let order = worker::Job {
                spec: job.spec,
                source: source_access(&job.source),
                graph: graph_access(&job.graph),
                hash_key: job.hash_key,
                data_key: job.data_key,
                progress: job.progress,
                cancel: job.cancel,
                plan_lasts: job.plan_lasts,
            };
            worker::run_job(&self.services, order)
                .await
                .map_err(|failure: Failure| failure)
        })
    }
}
