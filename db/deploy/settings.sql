-- The session of a deploy. Nothing that a role, a database or a client is set to may change what the files mean.

-- First: from here on no object of anyone's public schema stands in for one of PostgreSQL's.
set search_path = pg_catalog, pg_temp;
-- "The deployer" is the role that logged in, also where ALTER ROLE … SET role or a connection option says otherwise.
set role none;

set client_encoding = 'UTF8';
set client_min_messages = warning;
set standard_conforming_strings = on;
set transform_null_equals = off;
set row_security = on;
set check_function_bodies = on;
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';
set default_transaction_isolation = 'read committed';

-- A statement that queues for an exclusive lock makes everyone else queue behind it: give up soon, and run the deploy
-- again.
set lock_timeout = '10s';
set statement_timeout = '15min';
set idle_in_transaction_session_timeout = '5min';
