//! The private Postgres cluster that the backend starts when it is given no database.
