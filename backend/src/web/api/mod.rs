//! The JSON API and the worker API.
