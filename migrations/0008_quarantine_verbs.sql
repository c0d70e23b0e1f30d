-- A person may accept that a row does not travel. The acceptance holds for the content that was refused: a row
-- that changes is tried again.

ALTER TABLE quarantine
    ADD COLUMN ignored_at timestamptz,
    ADD COLUMN ignored_by text CHECK (length(ignored_by) BETWEEN 1 AND 200),
    ADD COLUMN ignored_reason text CHECK (length(ignored_reason) BETWEEN 1 AND 1000),
    ADD CONSTRAINT quarantine_ignored_whole CHECK (
        (ignored_at IS NULL) = (ignored_by IS NULL) AND (ignored_at IS NULL) = (ignored_reason IS NULL)
        AND (ignored_at IS NULL OR retry_at IS NULL));
COMMENT ON COLUMN quarantine.ignored_at IS 'When a person accepted that this content does not travel; such a row counts as settled. Cleared when the row is refused again or asked to be retried.';
