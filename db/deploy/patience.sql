-- Before each file that runs outside of the transaction. CREATE INDEX CONCURRENTLY and VALIDATE CONSTRAINT wait for
-- others without standing in their way, and may take hours. A file that does stand in the way sets its own limit.
set lock_timeout = 0;
set statement_timeout = 0;
reset maintenance_work_mem;
reset max_parallel_maintenance_workers;
