"""Breaks what is deployed, so that a test can show that another one notices."""


def replaced(function: str, *changes: tuple[str, str]) -> str:
    """SQL that makes a function anew with parts of its text exchanged, and fails if one of them is not there."""
    steps = "".join(
        f"""
            if position($old${old}$old$ in v_text) = 0 then
                raise exception 'nothing to replace in {function}';
            end if;
            v_text := replace(v_text, $old${old}$old$, $new${new}$new$);
        """
        for old, new in changes
    )
    return f"""
        do $break$
        declare
            v_text text := pg_get_functiondef('{function}'::regprocedure);
        begin
            {steps}
            execute v_text;
        end;
        $break$
    """
