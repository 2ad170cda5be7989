//! When a message may go out: quiet hours, the daily digest, and the pauses between two tries.

use chrono::{DateTime, Duration, NaiveTime, Timelike as _, Utc};

use crate::domain::telling::{Digest, Subscription};

/// A message that could not be delivered so many times is given up: after about fourteen hours.
pub const MOST_ATTEMPTS: i32 = 12;

/// The first moment from `now` on at which a subscriber may be told. `digest_hour`: when a day's digest is made (UTC).
pub fn not_before(
    subscription: &Subscription,
    digest_hour: u32,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let wanted = match subscription.digest {
        Digest::AtOnce => now,
        Digest::Daily => next_hour(now, digest_hour),
    };
    match subscription.quiet {
        Some((from, to)) if is_within(wanted.hour(), from, to) => next_hour(wanted, to),
        Some(_) | None => wanted,
    }
}

/// Whether an hour lies in a range that may pass midnight.
fn is_within(hour: u32, from: u32, to: u32) -> bool {
    if from <= to {
        (from..to).contains(&hour)
    } else {
        hour >= from || hour < to
    }
}

/// The next moment after `now` at which the clock strikes `hour`.
fn next_hour(now: DateTime<Utc>, hour: u32) -> DateTime<Utc> {
    let Some(time) = NaiveTime::from_hms_opt(hour, 0, 0) else {
        return now;
    };
    let today = now.date_naive().and_time(time).and_utc();
    if today > now {
        today
    } else {
        today + Duration::days(1)
    }
}

/// The pause after the try with this number (from 1): half a minute, doubled each time, at most six hours.
pub fn pause(attempt: i32) -> Duration {
    let doublings = attempt.clamp(1, 20) - 1;
    Duration::seconds((30_i64 << doublings).min(6 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::audience::tests::subscription;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn quiet_hours_postpone_to_their_end() {
        let mut one = subscription();
        let noon = at("2026-11-28T12:30:00Z");
        assert_eq!(not_before(&one, 6, noon), noon);
        one.quiet = Some((22, 7));
        assert_eq!(not_before(&one, 6, noon), noon);
        let morning = at("2026-11-28T07:00:00Z");
        assert_eq!(not_before(&one, 6, at("2026-11-28T02:10:00Z")), morning);
        assert_eq!(not_before(&one, 6, at("2026-11-27T22:00:00Z")), morning);
        assert_eq!(not_before(&one, 6, morning), morning);
        one.quiet = Some((12, 14));
        assert_eq!(not_before(&one, 6, noon), at("2026-11-28T14:00:00Z"));
    }

    #[test]
    fn a_digest_is_made_in_the_morning_and_keeps_quiet_hours() {
        let mut one = subscription();
        one.digest = Digest::Daily;
        let noon = at("2026-11-28T12:30:00Z");
        assert_eq!(not_before(&one, 6, noon), at("2026-11-29T06:00:00Z"));
        let early = at("2026-11-28T05:59:59Z");
        assert_eq!(not_before(&one, 6, early), at("2026-11-28T06:00:00Z"));
        assert_eq!(not_before(&one, 15, noon), at("2026-11-28T15:00:00Z"));
        assert_eq!(not_before(&one, 12, noon), at("2026-11-29T12:00:00Z"));
        one.quiet = Some((22, 8));
        assert_eq!(not_before(&one, 6, noon), at("2026-11-29T08:00:00Z"));
    }

    #[test]
    fn pauses_double_up_to_six_hours() {
        assert_eq!(pause(1).num_seconds(), 30);
        assert_eq!(pause(2).num_seconds(), 60);
        assert_eq!(pause(11).num_seconds(), 21_600);
        assert_eq!(pause(i32::MAX).num_seconds(), 21_600);
        assert_eq!(pause(i32::MIN).num_seconds(), 30);
        let all: i64 = (1..MOST_ATTEMPTS).map(|one| pause(one).num_hours()).sum();
        assert!((11..=16).contains(&all), "{all}");
    }
}
