-- What was learnt of a definition's list when it was made or taken over, so that a run that finds nothing to do
-- has nothing to ask: which columns of the list serve which source columns, and whether the list itself keeps
-- two items of one row apart. Readers of an older schema do not look at it.

ALTER TABLE definitions ADD COLUMN list_facts jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(list_facts) <= 1048576);
COMMENT ON COLUMN definitions.list_facts IS 'Facts about the list of `list_id`: `names` (source column to internal name, where it is not the derived one), `unique` and `indexed` (of the column by which items are recognised).';
