//! One campaign: load, kill, start, read back, judge, again.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    chance::Chance,
    check::{Checker, Faults},
    clock::{elapsed_ms, now_ms, pause},
    journal::{ATTEMPTS_MAX, Failed},
    load::{self, CONNECTIONS, IN_FLIGHT, Shared},
    process::{self, Broker, Files, Setup},
    readback,
    table::{self, Row},
    wire::{Client, wrong},
};

/// Acknowledged at least between two kills.
const ACKNOWLEDGED_MIN: u64 = 1_000;
/// Of these, random more, so that the kill is at no special number.
const ACKNOWLEDGED_MORE: u64 = 1_000;
/// A kill comes at the latest so long after the count was reached, milliseconds: mostly the first, sometimes the second,
/// so that what is done in the background gets its turn too.
const EXTRA_MAX_MS: [u64; 2] = [60, 2_000];
/// The same in a control: a fast machine would fill a segment meanwhile, and its digest tells the store itself.
const EXTRA_CONTROL_MAX_MS: [u64; 2] = [60, 60];
/// A timer that is owed and not there is waited for so long before it counts as lost, milliseconds.
const GRACE_MS: u64 = 20_000;
/// The same in a control, where it is expected.
const GRACE_CONTROL_MS: u64 = 2_000;
/// Longest time without any acknowledgement, milliseconds.
const STALL_MAX_MS: u64 = 60_000;
/// Up to so many records, every read-back starts at offset 0; beyond, every fifth does.
const FULL_MAX: usize = 150_000;
/// Most kills beyond those asked for, until segments were trimmed.
const TRIM_KILLS_MAX: u32 = 50;
/// Every so many kills a read-back starts at offset 0 in any case.
const FULL_EVERY: u32 = 5;

/// What can be asked of a campaign besides killing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// All kills, then everything that is pending.
    Done,
    /// The same, and on until segments were trimmed.
    Trimmed,
    /// Until something is wrong.
    Fault,
}

/// A campaign under way.
#[derive(Debug)]
pub(crate) struct Campaign {
    /// The judge.
    pub(crate) checker: Checker,
    broker: Broker,
    chance: Chance,
    start_ms: u64,
    grace_ms: u64,
    extra_max_ms: [u64; 2],
    next_id: u64,
    /// Changes the data directory between a kill and the start after it, for the control.
    harm: Option<fn(&std::path::Path) -> io::Result<()>>,
}

/// Sums over a campaign's kills.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// The last state.
    pub(crate) row: Row,
    /// What was wrong.
    pub(crate) faults: Faults,
    /// Kills in the middle of a start, besides.
    pub(crate) again: u32,
    /// Fewest in flight at any kill.
    pub(crate) in_flight_min: u64,
    /// Fewest acknowledged between two kills.
    pub(crate) acknowledged_min: u64,
    /// Timers that had fired before a kill, timers pending at one, timers that fell due while nobody ran.
    pub(crate) timers: [u64; 3],
    /// Restart times, milliseconds: the longest and their sum.
    pub(crate) restart_ms: [u64; 2],
    /// Requests whose answer a kill cut off.
    pub(crate) unknown: u64,
    /// Retries and dead letters that were asked for.
    pub(crate) retries: [usize; 2],
    /// Files of the store at the kills.
    pub(crate) files: Files,
    /// Kills.
    pub(crate) kills: u32,
}

impl Campaign {
    /// Starts a broker on an empty directory.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(crate) fn start(setup: Setup, dir: &std::path::Path, seed: u64) -> io::Result<Self> {
        let retention_ms = setup.retention_ms;
        let mut broker = Broker::new(setup, dir)?;
        broker.spawn()?;
        process::prepare(&mut broker.ready()?)?;
        let chance = Chance::new(seed, 0);
        let checker = Checker::new(retention_ms);
        Ok(Self {
            checker,
            broker,
            chance,
            start_ms: elapsed_ms(),
            grace_ms: GRACE_MS,
            extra_max_ms: EXTRA_MAX_MS,
            next_id: 1,
            harm: None,
        })
    }

    /// Lets `harm` change the data directory after each kill.
    #[must_use]
    pub(crate) fn harmed_by(mut self, harm: fn(&std::path::Path) -> io::Result<()>) -> Self {
        self.harm = Some(harm);
        self
    }

    /// Kills it `kills` times, and prints a line for each.
    ///
    /// # Errors
    ///
    /// Whatever keeps the campaign from a result: the broker ends by itself, does not answer, or not in the protocol.
    pub(crate) fn run(&mut self, kills: u32, until: Until) -> io::Result<Totals> {
        let mut totals = Totals { in_flight_min: u64::MAX, acknowledged_min: u64::MAX, ..Totals::default() };
        if until == Until::Fault {
            (self.grace_ms, self.extra_max_ms) = (GRACE_CONTROL_MS, EXTRA_CONTROL_MAX_MS);
        }
        println!("{}", table::HEAD);
        for kill in 1.. {
            let row = self.once(kill)?;
            println!("{row}");
            totals.add(&row, self.checker.faults);
            totals.files = self.broker.files()?;
            let trims = until != Until::Trimmed || totals.files.trimmed > 0 || kill >= kills + TRIM_KILLS_MAX;
            let found = until == Until::Fault && self.checker.faults.total() > 0;
            if found || (kill >= kills && trims) {
                break;
            }
        }
        if until != Until::Fault {
            self.drain()?;
        }
        let now_ms = now_ms();
        let standing = self.checker.standing(now_ms, now_ms);
        totals.row.standing = standing;
        totals.faults = self.checker.faults;
        let dead = self.checker.journal.retries.keys().filter(|(_, times)| *times > ATTEMPTS_MAX).count();
        totals.retries = [self.checker.journal.retries.len() - dead, dead];
        totals.unknown = self.checker.journal.unknown;
        Ok(totals)
    }

    fn once(&mut self, kill: u32) -> io::Result<Row> {
        let began_ms = elapsed_ms();
        let mut row = self.load()?;
        row.kill = kill;
        if let Some(harm) = self.harm {
            harm(&self.broker.data())?;
        }
        pause(self.chance.below(900));
        while self.chance.one_in(4) {
            // Again, in the middle of a start.
            self.broker.spawn()?;
            pause(5 + self.chance.below(46));
            self.broker.kill()?;
            row.again += 1;
        }
        let spawned_ms = elapsed_ms();
        self.broker.spawn()?;
        let mut client = self.broker.ready()?;
        row.restart_ms = elapsed_ms() - spawned_ms;
        let up_ms = now_ms();
        self.checker.begin(row.kill_ms);
        let full = kill.is_multiple_of(FULL_EVERY) || self.checker.read() < FULL_MAX;
        let by_ms = self.read_back(&mut client, full)?;
        row.standing = self.checker.standing(by_ms, up_ms);
        row.fired = self.checker.fired;
        row.faults = self.checker.faults;
        self.check_pace(elapsed_ms() - began_ms)?;
        Ok(row)
    }

    /// What the broker may trim must have been read and failed by then, or the checker cannot tell it from a loss.
    fn check_pace(&self, took_ms: u64) -> io::Result<()> {
        let took_ms = i64::try_from(took_ms).unwrap_or(i64::MAX);
        match self.checker.retention_ms {
            Some(retention_ms) if took_ms > retention_ms / 2 => {
                let text =
                    format!("a round took {took_ms} ms, too long for a retention of {retention_ms} ms");
                Err(wrong(text))
            }
            _ => Ok(()),
        }
    }

    /// Runs the load until the kill, and takes down what came of it.
    fn load(&mut self) -> io::Result<Row> {
        let shared = Arc::new(Shared { next_id: self.next_id.into(), ..Shared::default() });
        let failed: Vec<Failed> = std::mem::take(&mut self.checker.to_fail);
        let seed = self.chance.next();
        let threads = load::start(self.broker.address(), seed, &shared, &self.checker.journal, failed);
        let enough = ACKNOWLEDGED_MIN + self.chance.below(ACKNOWLEDGED_MORE);
        let stalled = self.wait_for(&shared, enough);
        let longest_ms = self.extra_max_ms[usize::from(self.chance.one_in(4))];
        pause(self.chance.below(longest_ms));
        let in_flight = shared.in_flight.load(Ordering::Relaxed);
        let before_ms = now_ms();
        let moment_ms = elapsed_ms() - self.start_ms;
        let killed = self.broker.kill();
        let mut faults = Vec::new();
        let had = self.checker.journal.acknowledged;
        for thread in threads {
            let (entries, fault) = thread.join().map_err(|_| wrong("a connection's thread panicked"))?;
            entries.into_iter().for_each(|entry| self.checker.journal.take(entry));
            faults.extend(fault);
        }
        killed?;
        if let Some(fault) = faults.pop() {
            return Err(wrong(fault));
        }
        if stalled {
            return Err(wrong(format!("nothing was acknowledged for a minute; {}", self.broker.said())));
        }
        if let (1.., Some(why)) = &self.checker.journal.refused {
            return Err(wrong(format!("a request was refused: {why}")));
        }
        let acknowledged = self.checker.journal.acknowledged - had;
        self.next_id = shared.next_id.load(Ordering::Relaxed);
        Ok(Row { kill_ms: before_ms, moment_ms, in_flight, acknowledged, ..Row::default() })
    }

    /// Waits until enough is acknowledged and all connections are busy. True if nothing moves any more.
    fn wait_for(&mut self, shared: &Shared, enough: u64) -> bool {
        let (mut last, mut moved_ms) = (0, elapsed_ms());
        let busy = u64::from(CONNECTIONS) * IN_FLIGHT as u64 / 4;
        loop {
            pause(1);
            let acknowledged = shared.acknowledged.load(Ordering::Relaxed);
            if acknowledged >= enough && shared.in_flight.load(Ordering::Relaxed) >= busy {
                return false;
            }
            if acknowledged != last {
                (last, moved_ms) = (acknowledged, elapsed_ms());
            }
            if elapsed_ms() - moved_ms > STALL_MAX_MS || self.broker.alive().is_err() {
                return true;
            }
        }
    }

    /// Reads back, waits a while for what is owed, and judges. Gives the moment up to which things had to be there.
    fn read_back(&mut self, client: &mut Client, full: bool) -> io::Result<i64> {
        let by_ms = now_ms();
        let start_ms = elapsed_ms();
        readback::progress(client, &mut self.checker)?;
        readback::messages(client, &mut self.checker, full)?;
        while self.checker.standing(by_ms, by_ms).owed > 0 && elapsed_ms() - start_ms < self.grace_ms {
            self.broker.alive()?;
            pause(100);
            readback::messages(client, &mut self.checker, false)?;
        }
        self.checker.settle(by_ms);
        Ok(by_ms)
    }

    /// Waits until nothing is pending any more, and reads everything once more from offset 0.
    fn drain(&mut self) -> io::Result<()> {
        let mut client = self.broker.ready()?;
        let start_ms = elapsed_ms();
        while self.checker.standing(i64::MAX, 0).owed > 0 && elapsed_ms() - start_ms < 2 * self.grace_ms {
            pause(200);
            readback::messages(&mut client, &mut self.checker, false)?;
        }
        // Who fired twice needs a moment to do so.
        pause(500);
        self.read_back(&mut client, true)?;
        self.checker.settle(i64::MAX);
        Ok(())
    }
}

impl Totals {
    /// Whether the load was what a campaign has to survive, and made the store do what it was to do: else it says
    /// nothing.
    pub(crate) fn is_telling(&self, trims: bool) -> bool {
        let [fired, pending, _] = self.timers;
        let flight = IN_FLIGHT as u64;
        // No trim without bases; without one, a few kills may come before the first.
        let Files { indexes, trimmed, buckets, .. } = self.files;
        let loaded = self.in_flight_min >= flight && self.acknowledged_min >= ACKNOWLEDGED_MIN;
        let rolled = indexes > 0 && buckets > 0;
        loaded && fired > 0 && pending > 0 && rolled && (trimmed > 0) == trims
    }

    fn add(&mut self, row: &Row, faults: Faults) {
        self.row = *row;
        self.kills = row.kill;
        self.faults = faults;
        self.again += row.again;
        self.in_flight_min = self.in_flight_min.min(row.in_flight);
        self.acknowledged_min = self.acknowledged_min.min(row.acknowledged);
        let timers = [row.fired, row.standing.pending, row.standing.due_down];
        self.timers.iter_mut().zip(timers).for_each(|(sum, n)| *sum += n);
        self.restart_ms = [self.restart_ms[0].max(row.restart_ms), self.restart_ms[1] + row.restart_ms];
    }
}
