//! How often one address, and one token, may come. Each backend counts for itself.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::config::LimitsConfig;

/// What a request comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Door {
    /// Pages, pictures, feeds, the API's answers.
    Reading,
    /// What changes something.
    Acting,
    /// Tries to sign in, and tokens that are not accepted.
    SigningIn,
    /// Deliveries of forges.
    Hooks,
}

impl Door {
    fn as_str(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Acting => "acting",
            Self::SigningIn => "signing_in",
            Self::Hooks => "hooks",
        }
    }
}

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// An IPv4 address, or the first half of an IPv6 address.
    Address(IpAddr),
    /// A token's key.
    Token(i64),
    /// The key of a sign-in.
    Session(i64),
    /// All addresses together that came when too many were counted already.
    Crowd,
}

impl Who {
    fn as_str(self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Token(_) => "token",
            Self::Session(_) => "session",
            Self::Crowd => "crowd",
        }
    }
}

/// Addresses that one door counts apart; about 5 MB.
const MOST: usize = 50_000;
/// After so many requests at a door, those that may come as they like again are forgotten.
const SWEEP: u64 = 1024;

type Counter = RateLimiter<Who, DashMapStateStore<Who>, DefaultClock>;

/// The counters of one door.
struct Counted {
    counter: Counter,
    requests: AtomicU64,
    is_crowded: AtomicBool,
}

/// The counters of all doors.
pub(super) struct Limits {
    reading: Option<Counted>,
    acting: Option<Counted>,
    signing_in: Option<Counted>,
    hooks: Option<Counted>,
}

impl Limits {
    pub(super) fn new(config: &LimitsConfig) -> Self {
        let counted = |per_minute: u32| {
            NonZeroU32::new(per_minute).map(|per_minute| Counted {
                counter: RateLimiter::dashmap(Quota::per_minute(per_minute)),
                requests: AtomicU64::new(0),
                is_crowded: AtomicBool::new(false),
            })
        };
        Self {
            reading: counted(config.reading),
            acting: counted(config.acting),
            signing_in: counted(config.signing_in),
            hooks: counted(config.hooks),
        }
    }

    /// Counts a request; the error: how long to wait before the next.
    pub(super) fn check(&self, door: Door, who: Who) -> Result<(), Duration> {
        let counted = match door {
            Door::Reading => &self.reading,
            Door::Acting => &self.acting,
            Door::SigningIn => &self.signing_in,
            Door::Hooks => &self.hooks,
        };
        counted.as_ref().map_or(Ok(()), |counted| {
            counted.check(who, MOST).inspect_err(|_wait| {
                metrics::counter!("speedwell_refused_requests_total", "door" => door.as_str(), "by" => who.as_str())
                    .increment(1);
            })
        })
    }
}

impl Counted {
    fn check(&self, who: Who, most: usize) -> Result<(), Duration> {
        if self.requests.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.counter.retain_recent();
            self.counter.shrink_to_fit();
            let crowded = self.counter.len() > most;
            self.is_crowded.store(crowded, Ordering::Relaxed);
        }
        let who = match who {
            Who::Address(_) if self.is_crowded.load(Ordering::Relaxed) => Who::Crowd,
            Who::Address(_) | Who::Token(_) | Who::Session(_) | Who::Crowd => who,
        };
        self.counter
            .check_key(&who)
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn limits(acting: u32) -> Limits {
        Limits::new(&LimitsConfig {
            acting,
            ..LimitsConfig::default()
        })
    }

    #[test]
    fn each_is_counted_alone_and_at_each_door() {
        let limits = limits(3);
        let one = Who::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for _ in 0..3 {
            assert_eq!(limits.check(Door::Acting, one), Ok(()));
        }
        let wait = limits.check(Door::Acting, one).unwrap_err();
        assert!(
            wait > Duration::from_secs(1) && wait <= Duration::from_secs(20),
            "{wait:?}"
        );
        assert_eq!(limits.check(Door::Acting, Who::Token(1)), Ok(()));
        assert_eq!(limits.check(Door::Reading, one), Ok(()));
        let open = Limits::new(&LimitsConfig {
            acting: 0,
            ..LimitsConfig::default()
        });
        assert!((0..1000).all(|_| open.check(Door::Acting, one).is_ok()));
    }

    #[test]
    fn many_addresses_take_bounded_memory() {
        let limits = limits(1);
        let counted = limits.acting.as_ref().unwrap();
        for number in 0..20_000_u32 {
            let address = Who::Address(IpAddr::V4(Ipv4Addr::from_bits(number)));
            let answer = counted.check(address, 2000);
            assert!(answer.is_ok() || counted.is_crowded.load(Ordering::Relaxed));
        }
        assert!(
            counted.counter.len() <= 2000 + 2 * 1024,
            "{}",
            counted.counter.len()
        );
        // Who has a token is not held back by the crowd.
        assert!(counted.check(Who::Token(1), 2000).is_ok());
    }
}
