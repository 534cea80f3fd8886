//! Thirty days of a thief and an owner, and of four tabs, against the real engine: every thief is noticed, and no
//! honest session is lost.
//!
//! `SIM_SESSIONS` sets how many sessions each simulation has; the default takes a few seconds.
use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use utils_token_auth::{Error, MemoryStore, Policy};

use crate::support::{START, World};

const DAY: f64 = 86_400.0;
const MONTH: f64 = 30.0 * DAY;

fn sessions(default: usize) -> usize {
    std::env::var("SIM_SESSIONS").ok().and_then(|sessions| sessions.parse().ok()).unwrap_or(default)
}

/// The thief copies the refresh token that is in use, and uses it at some moment.
#[actix_web::test]
async fn a_thief_with_the_current_token_is_always_noticed() {
    check_thief(Thief::CopiesTheCurrentToken, random_interval).await;
}

/// The thief replays the token that was just replaced, 5 s after its owner: inside of the grace.
#[actix_web::test]
async fn a_thief_inside_of_the_grace_is_always_noticed() {
    check_thief(Thief::ReplaysAfter(5.0), random_interval).await;
}

/// The same thief, and both renew by the same timer.
#[actix_web::test]
async fn a_thief_who_renews_by_the_owners_timer_is_always_noticed() {
    check_thief(Thief::ReplaysAfter(5.0), timer).await;
}

/// A thief a minute behind the owner, both by the same timer.
#[actix_web::test]
async fn a_thief_a_minute_behind_the_owner_is_always_noticed() {
    check_thief(Thief::ReplaysAfter(60.0), timer).await;
}

/// Four tabs share one refresh token and no lock; 3 % of the answers are lost and retried after 3 s.
#[actix_web::test]
async fn no_honest_session_is_lost_by_tabs_and_lost_answers() {
    for spread in [2.0, 30.0, 600.0] {
        let mut renewals = 0;
        for seed in 0..sessions(4) {
            let mut random = Random::seeded(1_000 * spread as u64 + seed as u64);
            match four_tabs(spread, &mut random).await {
                Ok(count) => renewals += count,
                Err(at) => panic!("tabs within {spread} s: session {seed} was lost after {at:.0} s"),
            }
        }
        report(&format!(
            "four tabs within {spread} s: none of {} sessions lost, {renewals} renewals",
            sessions(4)
        ));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Thief {
    CopiesTheCurrentToken,
    ReplaysAfter(f64),
}

async fn check_thief(thief: Thief, interval: fn(&mut Random) -> f64) {
    let mut noticed = Vec::new();
    for seed in 0..sessions(100) {
        match owner_and_thief(thief, interval, &mut Random::seeded(seed as u64)).await {
            Some(after) => noticed.push(after),
            None => panic!("session {seed}: the thief was not noticed within 30 days"),
        }
    }
    noticed.sort_by(f64::total_cmp);
    let median = noticed[noticed.len() / 2] / 60.0;
    report(&format!(
        "{} of {} thieves noticed, the median after {median:.1} minutes",
        noticed.len(),
        noticed.len()
    ));
}

/// How long after the first use of the stolen token the session was ended; `None` after 30 days of living together.
async fn owner_and_thief(thief: Thief, interval: fn(&mut Random) -> f64, random: &mut Random) -> Option<f64> {
    let world = long_lived();
    let mut owners = world.refresh_token("ana").await;
    let mut thiefs: Option<String> = None;
    let theft = random.between(0.0, DAY);
    let mut first_use = f64::INFINITY;
    let (mut owner_at, mut thief_at) = (random.between(600.0, 3_600.0), f64::INFINITY);
    loop {
        let now = owner_at.min(thief_at);
        if now > MONTH {
            return None;
        }
        world.clock.set(START + millis(now));
        let is_owner = owner_at <= thief_at;
        let used = if is_owner { owners.clone() } else { thiefs.clone().unwrap() };
        let next = match world.renew(&used).await {
            Ok(pair) => pair.refresh_token.unwrap_or_else(|| used.clone()),
            Err(Error::Grant) => return Some((now - first_use).max(0.0)),
            Err(error) => panic!("{error:?}"),
        };
        if is_owner {
            owners = next;
            owner_at = now + interval(random);
            if thiefs.is_none() && now >= theft {
                let (stolen, delay) = match thief {
                    Thief::CopiesTheCurrentToken => (owners.clone(), random.between(1.0, 3_000.0)),
                    Thief::ReplaysAfter(delay) => (used, delay),
                };
                thiefs = Some(stolen);
                thief_at = now + delay;
                first_use = thief_at;
            }
        } else {
            thiefs = Some(next);
            thief_at = now + interval(random);
        }
    }
}

/// What happens next in a tab.
enum Step {
    /// It reads the shared refresh token and sends its request.
    Start,
    /// The request arrives with this token.
    Arrive(String),
    /// The answer arrives, perhaps with a new token.
    Answer(Option<String>),
}

/// How many renewals 30 days of four tabs took, or when the session was lost.
async fn four_tabs(spread: f64, random: &mut Random) -> Result<usize, f64> {
    const TABS: usize = 4;
    const ACCESS: f64 = 900.0;
    let world = long_lived();
    let mut shared = world.refresh_token("ana").await;
    // each tab's next step; the soonest comes first
    let mut steps: Vec<Step> = (0..TABS).map(|_| Step::Start).collect();
    let mut queue: BinaryHeap<_> =
        (0..TABS).map(|tab| Reverse((millis(ACCESS + random.between(0.0, spread)), tab))).collect();
    let mut renewals = 0;
    while let Some(Reverse((at, tab))) = queue.pop() {
        let now = at as f64 / 1000.0;
        if now > MONTH {
            return Ok(renewals);
        }
        let step = std::mem::replace(&mut steps[tab], Step::Start);
        let (after, next) = match step {
            Step::Start => (random.latency(), Step::Arrive(shared.clone())),
            Step::Arrive(token) => {
                world.clock.set(START + at);
                renewals += 1;
                match world.renew(&token).await {
                    Err(Error::Grant) => return Err(now),
                    Err(error) => panic!("{error:?}"),
                    Ok(_) if random.unit() < 0.03 => (3.0, Step::Start),
                    Ok(pair) => (random.latency(), Step::Answer(pair.refresh_token)),
                }
            }
            Step::Answer(token) => {
                if let Some(token) = token {
                    shared = token;
                }
                (ACCESS + random.between(0.0, spread), Step::Start)
            }
        };
        steps[tab] = next;
        queue.push(Reverse((millis(now + after), tab)));
    }
    Ok(renewals)
}

fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

/// Sessions whose time limits do not get in the way.
fn long_lived() -> World {
    World::on(MemoryStore::new(), Policy::default().absolute(Duration::from_secs(400 * 86_400)))
}

fn random_interval(random: &mut Random) -> f64 {
    random.between(600.0, 3_600.0)
}

/// Every quarter of an hour, with a deviation of 5 s.
fn timer(random: &mut Random) -> f64 {
    900.0 + 5.0 * random.normal()
}

#[allow(clippy::print_stdout)] // the figures of a long run
fn report(text: &str) {
    println!("{text}");
}

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Of one way of a request: 0.14 s in the median, sometimes seconds.
    fn latency(&mut self) -> f64 {
        (-2.0 + self.normal()).exp()
    }
}
