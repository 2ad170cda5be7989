//! One file per page: its struct and its handler.
