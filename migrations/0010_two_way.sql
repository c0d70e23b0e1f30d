-- The way back: writes to source rows and the witness by which they are judged, what the list's feed said of an
-- item, conflicts that wait for a person, plans that are hashed and approved. Everything new is empty or has a
-- default, so that services of the schema before may go on beside this one.

UPDATE schema_compat SET schema_version = 2;

ALTER TABLE effects
    DROP CONSTRAINT effects_kind_check,
    ADD CONSTRAINT effects_kind_check CHECK (kind IN
        ('create_item', 'patch_item', 'delete_item', 'insert_row', 'update_row', 'delete_row')),
    ADD COLUMN witnessed boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT effects_witness_of_a_row CHECK (NOT witnessed OR kind IN ('insert_row', 'update_row', 'delete_row')),
    ADD CONSTRAINT effects_xid_is_witnessed CHECK (source_xid IS NULL OR witnessed);
COMMENT ON COLUMN effects.witnessed IS 'A source write was staged, and its transaction was about to commit; before this is noted none of it ever commits. `source_xid` is the id under which exactly this row was written, where the table can tell.';
COMMENT ON COLUMN effects.old_identity IS 'The identity under which the write was recorded, where it is held under another one since: an insert is held under its row''s identity once that is known. `sealed_sent` stays sealed for the one it was recorded under.';

-- All rows obeyed the narrower rule, so none has to be looked at.
ALTER TABLE ledger_history DROP CONSTRAINT ledger_history_kind_check;
ALTER TABLE ledger_history ADD CONSTRAINT ledger_history_kind_check CHECK (kind IN
    ('create_item', 'patch_item', 'delete_item', 'insert_row', 'update_row', 'delete_row', 'adopt')) NOT VALID;
-- The rolling window of the guard counts what was deleted lately, on either side.
DROP INDEX ledger_history_deletes;
CREATE INDEX ledger_history_deletes ON ledger_history (definition_id, at)
    WHERE kind IN ('delete_item', 'delete_row') AND outcome = 'applied';

-- The list's feed names items by number. The definition is left out on purpose: an index that began with it would
-- offer itself to every statement on the ledger, and a planner that takes a definition for a handful of rows would
-- read all of it.
CREATE INDEX ledger_of_item ON ledger (item_id, list_id);

ALTER TABLE dirty
    ADD COLUMN target_hint smallint NOT NULL DEFAULT 0 CHECK (target_hint BETWEEN 0 AND 3),
    ADD COLUMN hinted_at timestamptz,
    ADD CONSTRAINT dirty_hint_has_time CHECK ((target_hint = 0) = (hinted_at IS NULL));
COMMENT ON COLUMN dirty.target_hint IS 'What the list''s feed said of the item: 0 nothing, 1 changed, 2 deleted, 3 not shown by a whole pass. Marks of the source leave it alone. `hinted_at`: when; a deletion reported again keeps its first time.';
ALTER TABLE quarantine
    ADD COLUMN target_hint smallint NOT NULL DEFAULT 0 CHECK (target_hint BETWEEN 0 AND 3),
    ADD COLUMN hinted_at timestamptz,
    ADD CONSTRAINT quarantine_hint_has_time CHECK ((target_hint = 0) = (hinted_at IS NULL));
COMMENT ON COLUMN quarantine.target_hint IS 'As in `dirty`, taken over from there. A dirty row of the same identity that has no hint of its own has this one.';

ALTER TABLE conflicts
    ADD COLUMN key bytea CHECK (octet_length(key) BETWEEN 1 AND 8192),
    ADD COLUMN reason text CHECK (reason IN ('policy', 'would_lose', 'ambiguous', 'ping_pong')),
    ADD COLUMN source_hash bigint,
    ADD COLUMN target_hash bigint,
    ADD COLUMN winner text CHECK (winner IN ('source', 'target')),
    ADD COLUMN target_by text CHECK (length(target_by) BETWEEN 1 AND 500),
    ADD COLUMN target_at timestamptz,
    ADD COLUMN closed_at timestamptz,
    ADD CONSTRAINT conflicts_parked_whole CHECK (kind <> 'parked' OR (key IS NOT NULL AND reason IS NOT NULL
        AND (winner IS NULL) = (resolved_at IS NULL))),
    ADD CONSTRAINT conflicts_overridden_whole CHECK (kind <> 'overridden' OR (resolved_at IS NULL AND closed_at IS NULL));
COMMENT ON COLUMN conflicts.winner IS 'Which side''s value stands: of a parked conflict what a person decided (`resolved_by`, `resolved_at`), of an overridden edit what the policy did.';
COMMENT ON COLUMN conflicts.closed_at IS 'When the decision on a parked conflict was carried out, or both sides were found to agree again.';
COMMENT ON COLUMN conflicts.source_hash IS 'With `target_hash`: hashes of the two raw values the conflict is about, 64-bit patterns stored as signed numbers; null is unknown. A decision holds for these two values and no others.';
COMMENT ON COLUMN conflicts.target_by IS 'Who edited the list''s side last and when (`target_at`), where the list told.';
CREATE UNIQUE INDEX conflicts_one_parked_per_field ON conflicts (definition_id, identity, column_name)
    WHERE kind = 'parked' AND closed_at IS NULL;

ALTER TABLE plans
    ADD COLUMN hash bytea CHECK (octet_length(hash) = 32),
    ADD COLUMN predicted_ru bigint CHECK (predicted_ru >= 0),
    ADD CONSTRAINT plans_open_whole CHECK (state IN ('building', 'discarded')
        OR (hash IS NOT NULL AND predicted_ru IS NOT NULL AND expires_at IS NOT NULL));
COMMENT ON COLUMN plans.hash IS 'Keyed hash over all changes in their order, set when the plan is complete: what is approved and what is run are this very plan.';
