-- The end of a deploy's session.
set role none;
do $$
begin
    perform pg_advisory_unlock(x'6c696d656e61'::bigint);
end;
$$;
reset all;
