//! Who may come in at all, before anybody is identified: limits and penalties per source.
//!
//! A source is an address, or the /64 network of one that is IPv6. Each has a number of connections on
//! which nobody was identified yet, and a store of faults that fills again with time: a handshake that
//! fails, a head that does not come, a credential of nobody's. Whose store is empty is turned away at
//! once, for a time that doubles with each turn. Whoever is identified has their source forgiven.
//!
//! INVARIANT: a flood from one source does not starve others (fault F6). Where all places for the
//! unidentified are taken, the source that holds the most of them loses its oldest. The table is bounded,
//! and who does not fit into it shares one entry.
//!
//! Time comes in as an argument.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The limits of one listener, and who came up against them.
#[derive(Debug)]
pub struct Penalties {
    limits: Limits,
    table: Mutex<Table>,
}

/// How much a source may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections of one source on which nobody was identified yet.
    pub unproven_each: usize,
    /// Those of all sources together.
    pub unproven: usize,
    /// How many faults a source may make at once.
    pub faults: u32,
    /// How long until one of them is forgotten.
    pub fault_forgotten: Duration,
    /// How long the first turning away lasts; each next one lasts twice as long.
    pub away_first: Duration,
    /// The longest.
    pub away_max: Duration,
    /// How long a connection may go on without anybody being identified on it.
    pub proof: Duration,
    /// How many sources are told apart.
    pub sources: usize,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turned {
    /// Its source made too many faults.
    Away,
    /// Its source holds as many places as it may.
    Crowded,
}

/// One connection that was let in. Dropped unproven it is a fault of its source.
#[derive(Debug)]
pub struct Visit {
    penalties: Arc<Penalties>,
    source: Source,
    number: u64,
    since: Instant,
    state: AtomicU8,
    cut: Arc<Notify>,
}

/// Whom a connection is counted for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Source {
    Of(IpAddr),
    /// All who do not fit into the table.
    Others,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Source, Entry>,
    unproven: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    unproven: VecDeque<(u64, Arc<Notify>)>,
    faults: f64,
    counted: Instant,
    away: Option<Instant>,
    turns: u32,
}

// === impl Limits ===

impl Limits {
    /// What a gateway's listener has: enough for a few hundred clients behind one address that connect
    /// at once, and nothing worth having for one that only knocks.
    pub const GATEWAY: Self = Self {
        unproven_each: 256,
        unproven: 768,
        faults: 64,
        fault_forgotten: Duration::from_millis(500),
        away_first: Duration::from_secs(1),
        away_max: Duration::from_secs(60),
        proof: Duration::from_secs(10),
        sources: 4096,
    };
}

// === impl Penalties ===

impl Penalties {
    /// Begins with nobody known.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    /// Lets a connection in, or turns it away.
    ///
    /// # Errors
    ///
    /// With the reason why it is to be closed at once.
    pub fn arrive(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Visit, Turned> {
        let mut table = self.table();
        let source = table.source(address, now, &self.limits);
        let entry = table.entries.entry(source).or_insert_with(|| Entry::new(now));
        if entry.away.is_some_and(|until| now < until) {
            return Err(Turned::Away);
        }
        if self.limits.unproven_each <= entry.unproven.len() {
            return Err(Turned::Crowded);
        }
        if self.limits.unproven <= table.unproven && !table.make_room(source) {
            return Err(Turned::Crowded);
        }
        table.next += 1;
        let (number, cut) = (table.next, Arc::new(Notify::new()));
        if let Some(entry) = table.entries.get_mut(&source) {
            entry.unproven.push_back((number, cut.clone()));
            table.unproven += 1;
        }
        let state = AtomicU8::new(UNPROVEN);
        Ok(Visit { penalties: self.clone(), source, number, since: now, state, cut })
    }

    /// How many connections there are on which nobody was identified yet.
    pub fn unproven(&self) -> usize {
        self.table().unproven
    }

    /// How many sources are turned away at this moment.
    pub fn away(&self, now: Instant) -> usize {
        let table = self.table();
        let away = table.entries.values().filter_map(|entry| entry.away);
        away.filter(|until| now < *until).count()
    }

    fn fault(&self, source: Source, now: Instant) {
        let limits = &self.limits;
        if let Some(entry) = self.table().entries.get_mut(&source) {
            entry.fault(limits, now);
        }
    }

    fn leave(&self, source: Source, number: u64) {
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(&source) else { return };
        let before = entry.unproven.len();
        entry.unproven.retain(|(other, _)| *other != number);
        let gone = before - entry.unproven.len();
        table.unproven = table.unproven.saturating_sub(gone);
    }

    fn forgive(&self, source: Source) {
        if let Some(entry) = self.table().entries.get_mut(&source) {
            (entry.faults, entry.turns, entry.away) = (0.0, 0, None);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Visit ===

impl Visit {
    /// Somebody was identified on it: it no longer counts against its source, which is forgiven.
    pub fn proven(&self) {
        if self.state.swap(PROVEN, Ordering::AcqRel) != PROVEN {
            self.penalties.leave(self.source, self.number);
            self.penalties.forgive(self.source);
        }
    }

    /// Somebody on it claimed to be who they are not, or said nothing that could be understood.
    pub fn blame(&self, now: Instant) {
        let _ = self.state.compare_exchange(UNPROVEN, BLAMED, Ordering::AcqRel, Ordering::Acquire);
        self.penalties.fault(self.source, now);
    }

    /// Returns once it is to be cut: nobody was identified in time, or its place is needed. Never
    /// returns if somebody was.
    ///
    /// Cancellation: nothing is lost.
    pub async fn overdue(&self) {
        let until = tokio::time::Instant::from_std(self.since + self.penalties.limits.proof);
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = self.cut.notified() => {}
        }
        if self.state.load(Ordering::Acquire) == PROVEN {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if *self.state.get_mut() != PROVEN {
            self.penalties.leave(self.source, self.number);
        }
        if *self.state.get_mut() == UNPROVEN {
            self.penalties.fault(self.source, Instant::now());
        }
    }
}

// === impl Table ===

impl Table {
    /// Returns whom `address` is counted for, making room in the table if it can.
    fn source(&mut self, address: IpAddr, now: Instant, limits: &Limits) -> Source {
        let source = Source::of(address);
        if self.entries.contains_key(&source) || self.entries.len() < limits.sources {
            return source;
        }
        self.entries.retain(|_, entry| !entry.is_spent(limits, now));
        match self.entries.len() < limits.sources {
            true => source,
            false => Source::Others,
        }
    }

    /// Cuts the oldest connection of the source that holds the most, if that is more than `own` holds.
    fn make_room(&mut self, own: Source) -> bool {
        let held = |source| self.entries.get(&source).map_or(0, |entry| entry.unproven.len());
        let most = self.entries.iter().max_by_key(|(_, entry)| entry.unproven.len());
        let Some(most) = most.map(|(source, _)| *source) else { return false };
        if held(most) <= held(own) + 1 {
            return false;
        }
        let oldest = self.entries.get_mut(&most).and_then(|entry| entry.unproven.pop_front());
        let Some((_, cut)) = oldest else { return false };
        cut.notify_one();
        self.unproven = self.unproven.saturating_sub(1);
        true
    }
}

// === impl Entry ===

impl Entry {
    fn new(now: Instant) -> Self {
        Self { unproven: VecDeque::new(), faults: 0.0, counted: now, away: None, turns: 0 }
    }

    fn fault(&mut self, limits: &Limits, now: Instant) {
        self.forget(limits, now);
        self.faults += 1.0;
        if f64::from(limits.faults) <= self.faults && self.away.is_none_or(|until| until <= now) {
            let doubled = limits.away_first.saturating_mul(1 << self.turns.min(TURNS_MAX));
            self.away = now.checked_add(doubled.min(limits.away_max));
            self.turns = self.turns.saturating_add(1);
            // Half of the store is given back, so that who comes again has a chance to do better.
            self.faults = f64::from(limits.faults) / 2.0;
        }
    }

    fn forget(&mut self, limits: &Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = self.counted.max(now);
        let forgotten =
            passed.as_secs_f64() / limits.fault_forgotten.as_secs_f64().max(f64::EPSILON);
        self.faults = (self.faults - forgotten).max(0.0);
    }

    /// Whether nothing is lost if it is forgotten.
    fn is_spent(&mut self, limits: &Limits, now: Instant) -> bool {
        self.forget(limits, now);
        let away = self.away.is_some_and(|until| now < until + limits.away_max);
        self.unproven.is_empty() && self.faults < 1.0 && !away
    }
}

// === impl Source ===

impl Source {
    fn of(address: IpAddr) -> Self {
        Self::Of(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                // Whoever has one address of a /64 has all of them.
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(network.into())
            }
        })
    }
}

const UNPROVEN: u8 = 0;
const BLAMED: u8 = 1;
const PROVEN: u8 = 2;

/// How often the time away is doubled at most; a limit ends it long before.
const TURNS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        unproven_each: 4,
        unproven: 6,
        faults: 8,
        fault_forgotten: Duration::from_secs(1),
        away_first: Duration::from_secs(1),
        away_max: Duration::from_secs(8),
        proof: Duration::from_secs(10),
        sources: 3,
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn a_source_has_so_many_places_and_gets_them_back_when_somebody_is_identified() {
        let penalties = Penalties::new(LIMITS);
        let now = Instant::now();
        let visits: Vec<_> = (0..4).map(|_| penalties.arrive(address(1), now).unwrap()).collect();
        assert_eq!(penalties.arrive(address(1), now).unwrap_err(), Turned::Crowded);
        assert_eq!(penalties.unproven(), 4);
        visits[0].proven();
        visits[0].proven();
        assert_eq!(penalties.unproven(), 3);
        let _more = penalties.arrive(address(1), now).unwrap();
        drop(visits);
        assert_eq!(penalties.unproven(), 1);
    }

    #[test]
    fn faults_turn_a_source_away_for_a_time_that_doubles_and_an_identified_caller_ends_it() {
        let penalties = Penalties::new(LIMITS);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let blame = |now| {
            let visit = penalties.arrive(address(1), now).unwrap();
            for _ in 0..LIMITS.faults {
                visit.blame(now);
            }
        };
        blame(at(0));
        assert_eq!(penalties.arrive(address(1), at(999)).unwrap_err(), Turned::Away);
        assert_eq!(penalties.away(at(999)), 1);
        assert!(penalties.arrive(address(2), at(1)).is_ok(), "others come in");
        blame(at(1_000));
        assert_eq!(penalties.arrive(address(1), at(2_999)).unwrap_err(), Turned::Away);
        let visit = penalties.arrive(address(1), at(3_001)).unwrap();
        visit.proven();
        blame(at(3_001));
        assert!(penalties.arrive(address(1), at(4_001)).is_ok(), "it begins anew");
        for turn in 0..20 {
            blame(at(100_000 + 8_000 * turn));
        }
        assert!(penalties.arrive(address(1), at(100_000 + 8_000 * 20)).is_ok(), "it has an end");
    }

    #[test]
    fn a_connection_on_which_nobody_was_identified_is_a_fault_and_faults_are_forgotten() {
        let penalties = Penalties::new(LIMITS);
        let now = Instant::now();
        // One more than the limit: the first is being forgotten already.
        for _ in 0..=LIMITS.faults {
            drop(penalties.arrive(address(1), now).unwrap());
        }
        let later = now + Duration::from_millis(500);
        assert_eq!(penalties.arrive(address(1), later).unwrap_err(), Turned::Away);
        for second in 0..40 {
            let now = now + Duration::from_secs(100 + 2 * second);
            penalties.arrive(address(1), now).unwrap().blame(now);
        }
    }

    #[test]
    fn where_all_places_are_taken_the_source_with_the_most_gives_one_up() {
        let penalties = Penalties::new(LIMITS);
        let now = Instant::now();
        let many: Vec<_> = (0..4).map(|_| penalties.arrive(address(1), now).unwrap()).collect();
        let _two: Vec<_> = (0..2).map(|_| penalties.arrive(address(2), now).unwrap()).collect();
        let _honest = penalties.arrive(address(3), now).unwrap();
        assert_eq!(penalties.unproven(), LIMITS.unproven);
        let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        threads.block_on(async { many[0].overdue().await });
        drop(many);
        assert_eq!(penalties.unproven(), 3);
    }

    #[test]
    fn the_table_is_bounded_and_who_does_not_fit_shares_one_entry() {
        let penalties = Penalties::new(LIMITS);
        let now = Instant::now();
        let _held: Vec<_> =
            (1..=3).map(|last| penalties.arrive(address(last), now).unwrap()).collect();
        let _others: Vec<_> =
            (4..=6).map(|last| penalties.arrive(address(last), now).unwrap()).collect();
        assert_eq!(penalties.table().entries.len(), 4);
        for last in 7..=250 {
            let _ = penalties.arrive(address(last), now);
        }
        assert_eq!(penalties.table().entries.len(), 4);
    }

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
