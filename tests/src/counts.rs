//! What a campaign did, in figures.

use backends::OpKind;

macro_rules! counts {
    ($($field:ident: $name:literal,)*) => {
        /// Counts of one history or of many.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is the thing of that name")]
        pub struct Counts {
            $(pub $field: u64,)*
        }

        impl Counts {
            /// Name and figure of each.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field)),*]
            }

            /// Adds another history's.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counts! {
    seeds: "seeds",
    steps: "steps",
    frames: "frames",
    power_cuts: "power cuts",
    kills: "kills",
    closes: "clean closes",
    crashes_inside: "crashes inside an operation",
    crashes_in_recovery: "crashes in recovery",
    rolls: "rolls",
    indexes: "index files",
    bases: "bases",
    buckets: "buckets",
    trims: "trims",
    fires: "fires",
    voids: "voids",
    fires_from_buckets: "fires from a bucket",
    skips: "skips",
    older_bases: "opens on the older generation",
    tears_above: "tears above the mark",
    damage_below: "damage below the mark",
    damage_repaired: "damage repaired",
    failed_flushes: "failed flushes",
    failed_creates: "failed creates",
    failed_reserves: "failed reserves",
    failed_seals: "failed seals",
    failed_opens: "failed opens of a stream",
    failed_lists: "failed lists",
    failed_reads: "failed reads",
    failed_removes: "failed removes",
    failed_cells: "failed cell reads and writes",
    lies: "flushes that lied",
    lies_told: "lies that were told after the power cut",
    misdirected: "misdirected writes",
    full: "refusals on a full disk",
    clock_steps: "clock steps",
    cancels: "cancels answered",
    retries: "retries and dead letters",
    deleted: "topics deleted",
    consumed: "deliveries acked or nacked",
    undecided: "acks and nacks without an outcome",
    locks: "locks granted",
    locks_refused: "locks refused",
    repeats: "repeats of messages stored once",
    rebuilds: "rebuilds compared",
    sweeps: "sweeps",
    reads: "records read",
}

impl Counts {
    /// What a campaign must show, and did not show often enough.
    #[must_use]
    pub fn too_few(&self, least: u64) -> Vec<(&'static str, u64)> {
        let must = [
            "rolls",
            "index files",
            "bases",
            "trims",
            "voids",
            "skips",
            "fires from a bucket",
            "opens on the older generation",
            "tears above the mark",
            "damage below the mark",
            "failed creates",
            "failed reserves",
            "failed seals",
            "failed opens of a stream",
            "failed lists",
            "failed reads",
            "failed removes",
            "failed cell reads and writes",
            "lies that were told after the power cut",
            "misdirected writes",
            "topics deleted",
            "locks granted",
            "locks refused",
            "repeats of messages stored once",
            "acks and nacks without an outcome",
        ];
        self.named().into_iter().filter(|(name, n)| must.contains(name) && *n < least).collect()
    }

    /// A call of this kind failed with an error of the medium.
    pub fn failed(&mut self, kind: OpKind) {
        let count = match kind {
            OpKind::Flush => &mut self.failed_flushes,
            OpKind::Create => &mut self.failed_creates,
            OpKind::Reserve => &mut self.failed_reserves,
            OpKind::Seal => &mut self.failed_seals,
            OpKind::Open | OpKind::Reopen => &mut self.failed_opens,
            OpKind::List => &mut self.failed_lists,
            OpKind::Read => &mut self.failed_reads,
            OpKind::Remove => &mut self.failed_removes,
            OpKind::ReadCell | OpKind::WriteCell => &mut self.failed_cells,
            OpKind::Publish => return,
        };
        *count += 1;
    }

    /// Crashes, each with a reopen.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.power_cuts + self.kills
    }
}
