-- The ledger's history says why and, where a definition wants it, with which values; and it is append-only in the
-- database itself. Entries and effects of services of the schema before have no cause, which reads as "not recorded".

UPDATE schema_compat SET schema_version = 3;

ALTER TABLE effects
    ADD COLUMN cause jsonb,
    ADD COLUMN sealed_before bytea;
COMMENT ON TABLE effects IS 'External writes, committed before they are sent. `open`: holds its subject and item. `armed`: not applied when last looked at, but it may still land; the subject is free. A closed effect leaves for `ledger_history` in the statement that removes it; what was sent goes with it only where the definition keeps values.';
COMMENT ON COLUMN effects.cause IS 'Why it is made: the decision about the row and about each field, without values. It goes to `ledger_history` with the effect.';
COMMENT ON COLUMN effects.sealed_before IS 'What the side that is written showed there before, where it was seen and the definition keeps values; sealed as `sealed_sent` is.';

ALTER TABLE ledger_history DROP CONSTRAINT ledger_history_kind_check;
ALTER TABLE ledger_history ADD CONSTRAINT ledger_history_kind_check CHECK (kind IN
    ('create_item', 'patch_item', 'delete_item', 'insert_row', 'update_row', 'delete_row', 'adopt', 'agree', 'leave',
     'bury')) NOT VALID;
ALTER TABLE ledger_history
    ADD COLUMN cause jsonb,
    ADD COLUMN before_agreed bytea,
    ADD COLUMN before_layout bigint,
    ADD COLUMN before_state smallint,
    ADD COLUMN state smallint,
    ADD COLUMN row_version bigint,
    ADD COLUMN mark_generation integer,
    ADD COLUMN mark_lsn bigint,
    ADD COLUMN sealed_sent bytea,
    ADD COLUMN sealed_before bytea,
    ADD COLUMN sealed_for bytea CHECK (octet_length(sealed_for) = 16);
COMMENT ON TABLE ledger_history IS 'Closed effects and agreements without a write, append-only: what happened to an identity when by which run and why, versions and hashes agreed on before and after. Values only in `sealed_sent` and `sealed_before`, and only where the definition keeps them.';
COMMENT ON COLUMN ledger_history.sealed_for IS 'The identity that values were sealed for, where it is another one: an insert is recorded before its row is known.';
-- What retention lets go.
CREATE INDEX ledger_history_of_time ON ledger_history (definition_id, at);

CREATE FUNCTION ledger_history_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('syncbridge.history', true) IN ('retention', 'partition') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'ledger_history is append-only: % is refused', lower(TG_OP)
        USING ERRCODE = 'restrict_violation', HINT = 'entries go by retention only';
END $$;
COMMENT ON FUNCTION ledger_history_stays() IS 'Refuses to change the history. Only retention lets entries go, and making a partition moves them.';
CREATE TRIGGER ledger_history_append_only BEFORE UPDATE OR DELETE ON ledger_history
    FOR EACH ROW EXECUTE FUNCTION ledger_history_stays();
CREATE FUNCTION ledger_history_is_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger_history is append-only: truncate is refused' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_history_not_emptied BEFORE TRUNCATE ON ledger_history
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_history_is_not_emptied();
