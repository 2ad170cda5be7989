-- Where builds of one commit differ, both sides of a suspicion are built several times.
ALTER TABLE confirmation ADD COLUMN builds integer NOT NULL DEFAULT 1 CHECK (builds > 0);  -- of each side, taken in turn by the rounds
