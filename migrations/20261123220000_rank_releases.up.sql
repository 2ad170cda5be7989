-- Which tags are releases, and of which line. A line is major and minor version: a maintenance branch is compared with
-- its newest final release, the main branch with the newest preview of the line to come. Python's tags (v3.9.2,
-- v3.15.0a2) and PyPy's (release-pypy3.9-v7.3.11).
ALTER TABLE tag ADD COLUMN release_line integer[] GENERATED ALWAYS AS (
    regexp_match(name, '^(?:release-pypy[0-9.]+-)?v?([0-9]{1,4})[.]([0-9]{1,4})(?:[.][0-9]+)*(?:(?:a|b|c|rc)[0-9]+)?$')::integer[]
) STORED;
ALTER TABLE tag ADD COLUMN release_final boolean GENERATED ALWAYS AS (name !~ '(a|b|c|rc)[0-9]+$') STORED;
