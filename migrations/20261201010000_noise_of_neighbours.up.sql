-- Where no build was repeated, the differences of neighbours on the branch say how far values stray from one measurement to the next.
ALTER TABLE noise_floor ADD COLUMN neighbour_deviation double precision,   -- between commits that were measured next to each other on the branch
    ADD COLUMN neighbour_count integer,
    ADD CHECK ((neighbour_deviation IS NULL) = (neighbour_count IS NULL) AND neighbour_count > 1);
ALTER TABLE noise_floor DROP CONSTRAINT noise_floor_basis_check;
ALTER TABLE noise_floor ADD CONSTRAINT noise_floor_basis_check CHECK (basis IN ('rebuilds', 'neighbours', 'runs', 'processes'));
