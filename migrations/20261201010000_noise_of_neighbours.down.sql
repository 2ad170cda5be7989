DELETE FROM noise_floor WHERE basis = 'neighbours';
ALTER TABLE noise_floor DROP CONSTRAINT noise_floor_basis_check;
ALTER TABLE noise_floor ADD CONSTRAINT noise_floor_basis_check CHECK (basis IN ('rebuilds', 'runs', 'processes'));
ALTER TABLE noise_floor DROP COLUMN neighbour_deviation, DROP COLUMN neighbour_count;
