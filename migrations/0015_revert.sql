-- A run that is put back is gone through in the order of its rows, page by page.

DROP INDEX ledger_history_of_run;
CREATE INDEX ledger_history_of_run ON ledger_history (run_id, identity, history_id);
