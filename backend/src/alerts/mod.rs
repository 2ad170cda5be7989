//! Telling people: who hears of an event and when, what the message says, and how it leaves.
//!
//! Rules and texts are pure; `mail` and `chat` also send. Nothing here knows the database: the scheduler brings the facts.

pub mod alarm;
pub mod audience;
pub mod chat;
pub mod check;
pub mod gather;
pub mod link;
pub mod mail;
pub mod message;
pub mod payload;
pub mod report;
pub mod try_run;
pub mod when;

pub use payload::Payload;
