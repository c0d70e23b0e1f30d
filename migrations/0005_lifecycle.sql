-- The life of a definition beyond its runs: full comparisons, how much it deleted lately, and its leave.

CREATE TABLE sweeps (
    definition_id uuid PRIMARY KEY REFERENCES definitions ON DELETE CASCADE,
    completed_at timestamptz NOT NULL,
    run_id uuid NOT NULL
);
COMMENT ON TABLE sweeps IS 'When everything of a definition was last compared. Written once the comparison is complete: an interrupted one stays due.';

-- The rolling window of the guard counts what was deleted lately.
CREATE INDEX ledger_history_deletes ON ledger_history (definition_id, at) WHERE kind = 'delete_item' AND outcome = 'applied';

ALTER TABLE definitions ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN definitions.deleted_at IS 'Set where a definition was deleted and its ledger kept: it is not shown and not run; one applied under the same name and namespace goes on with it.';
