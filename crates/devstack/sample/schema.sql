-- The sample company: four tables with the shapes that a list has to cope with.
-- Comments on tables and columns become descriptions of lists and columns.
create schema company;
comment on schema company is 'SyncBridge sample company';

-- A number in 0 .. n-1 that depends on nothing but the text: the same sample on every machine, no random().
create function company.pick(seed text, n integer) returns integer
    language sql immutable strict parallel safe
    return ('x' || substr(md5(seed), 1, 7))::bit(28)::integer % n;

-- One element of the array, chosen by the text.
create function company.pick_of(seed text, choices text[]) returns text
    language sql immutable strict parallel safe
    return choices[company.pick(seed, cardinality(choices)) + 1];

-- Counts the working days played so far.
create sequence company.working_day;

create type company.project_status as enum ('idea', 'planned', 'running', 'on hold', 'finished', 'cancelled');
create type company.contract_status as enum ('draft', 'in negotiation', 'signed', 'expired', 'terminated');
create type company.task_state as enum ('open', 'in progress', 'waiting', 'done', 'dropped');

create function company.touch() returns trigger language plpgsql as $$
begin
    -- clock_timestamp and not now: two statements of one transaction are told apart.
    new.updated_at := clock_timestamp();
    return new;
end $$;

create table company.people (
    id uuid primary key,
    full_name text not null,
    email text not null unique,
    job_title text,
    department text not null,
    office text,
    phone text,
    hired_on date not null,
    left_on date,
    active boolean not null default true,
    weekly_hours numeric(4,1),
    manager_id uuid references company.people (id),
    about text,
    check (left_on is null or left_on >= hired_on)
);
comment on table company.people is 'Everybody who works or worked here. Keeps no time of change, so it is compared as a whole.';
comment on column company.people.id is 'Personnel id';
comment on column company.people.full_name is 'Name as the person writes it';
comment on column company.people.email is 'Work address';
comment on column company.people.job_title is 'Present role';
comment on column company.people.department is 'Department';
comment on column company.people.office is 'Where the desk is; empty for people who work from anywhere';
comment on column company.people.phone is 'Telephone, international notation';
comment on column company.people.hired_on is 'First working day';
comment on column company.people.left_on is 'Last working day; empty while employed';
comment on column company.people.active is 'Employed today';
comment on column company.people.weekly_hours is 'Contracted hours a week';
comment on column company.people.manager_id is 'Personnel id of the manager';
comment on column company.people.about is 'A few words about themselves';

create table company.projects (
    code text primary key check (code ~ '^PRJ-[0-9]{5}$'),
    name text not null,
    description text,
    status company.project_status not null,
    lead_id uuid references company.people (id),
    budget numeric(14,2),
    progress_percent smallint not null default 0 check (progress_percent between 0 and 100),
    risk_score double precision,
    confidential boolean not null default false,
    starts_on date,
    ends_on date,
    updated_at timestamptz not null default now()
);
create index on company.projects (updated_at);
comment on table company.projects is 'What the company works on, from first idea to the closing report.';
comment on column company.projects.code is 'Project code, for people: PRJ- and five digits';
comment on column company.projects.name is 'Short name';
comment on column company.projects.description is 'Aim, scope and what to look out for';
comment on column company.projects.status is 'Where the project stands';
comment on column company.projects.lead_id is 'Personnel id of the project lead';
comment on column company.projects.budget is 'Approved budget in EUR';
comment on column company.projects.progress_percent is 'Share of the work that is done, 0 to 100';
comment on column company.projects.risk_score is 'Weighted risk, 0 (none) to 1';
comment on column company.projects.confidential is 'Not to be named outside';
comment on column company.projects.starts_on is 'Planned or actual start';
comment on column company.projects.ends_on is 'Planned or actual end';
comment on column company.projects.updated_at is 'Last change of the row';

create table company.contracts (
    project_code text not null references company.projects (code),
    number integer not null check (number > 0),
    counterparty text not null,
    subject text not null,
    value numeric(14,2) not null,
    currency text not null default 'EUR' check (currency ~ '^[A-Z]{3}$'),
    status company.contract_status not null,
    signed_on date,
    valid_from date not null,
    valid_until date,
    auto_renews boolean,
    remarks text,
    updated_at timestamptz not null default now(),
    primary key (project_code, number)
);
create index on company.contracts (updated_at);
comment on table company.contracts is 'Contracts with suppliers and customers, numbered within their project.';
comment on column company.contracts.project_code is 'Project the contract belongs to';
comment on column company.contracts.number is 'Running number within the project';
comment on column company.contracts.counterparty is 'The other party';
comment on column company.contracts.subject is 'What it is about';
comment on column company.contracts.value is 'Total value in the currency of the contract';
comment on column company.contracts.currency is 'Currency, three letters';
comment on column company.contracts.status is 'Where the contract stands';
comment on column company.contracts.signed_on is 'Day of the last signature';
comment on column company.contracts.valid_from is 'First day it binds';
comment on column company.contracts.valid_until is 'Last day it binds; empty when open-ended';
comment on column company.contracts.auto_renews is 'Goes on unless terminated; empty when not yet agreed';
comment on column company.contracts.remarks is 'Clauses worth knowing';
comment on column company.contracts.updated_at is 'Last change of the row';

create table company.tasks (
    id bigint generated always as identity primary key,
    project_code text not null references company.projects (code),
    title text not null,
    details text,
    state company.task_state not null default 'open',
    priority integer not null default 3 check (priority between 1 and 5),
    blocked boolean,
    assignee_id uuid references company.people (id),
    estimate_hours numeric(6,2),
    due_at timestamptz,
    done_at timestamptz,
    updated_at timestamptz not null default now()
);
create index on company.tasks (updated_at);
create index on company.tasks (project_code);
comment on table company.tasks is 'Single steps of projects: who does what until when.';
comment on column company.tasks.id is 'Task number';
comment on column company.tasks.project_code is 'Project the task belongs to';
comment on column company.tasks.title is 'What is to be done, in one line';
comment on column company.tasks.details is 'Everything one has to know to do it';
comment on column company.tasks.state is 'Where the task stands';
comment on column company.tasks.priority is '1 (now) to 5 (some day)';
comment on column company.tasks.blocked is 'Cannot go on; empty when nobody has looked yet';
comment on column company.tasks.assignee_id is 'Personnel id of who does it';
comment on column company.tasks.estimate_hours is 'Estimated work in hours';
comment on column company.tasks.due_at is 'When it has to be done';
comment on column company.tasks.done_at is 'When it was done';
comment on column company.tasks.updated_at is 'Last change of the row';

create trigger touch before update on company.projects for each row execute function company.touch();
create trigger touch before update on company.contracts for each row execute function company.touch();
create trigger touch before update on company.tasks for each row execute function company.touch();
