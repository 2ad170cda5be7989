-- What an operator holds back: a paused runtime gets no jobs and none of its jobs is claimed; a disabled host claims none.
ALTER TABLE runtime ADD COLUMN paused_at timestamptz;
ALTER TABLE host ADD COLUMN disabled_at timestamptz;
