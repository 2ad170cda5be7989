DROP VIEW branch_release;
DROP TABLE off_branch_release;
