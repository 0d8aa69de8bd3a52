//! The duty cycle: bounded work from each source, in a fixed order, on one screen.

use crate::clock::{self, Now};
use crate::ids::Nanos;
use crate::storage::{Storage, StorageCounts};
use crate::telemetry::{Counter, Stage};

use super::command::{Command, CoreFlights, CoreReport};
use super::core::{Core, Flow};
use super::guest::Guest;
use super::handler::HandlerFactory;
use super::intake::{Admission, Surroundings};
use super::pending::Seen;
use super::status::{Load, Phase};

impl<S: Storage, F: HandlerFactory, G: Guest<S>> Core<S, F, G> {
    /// One pass. Returns the amount of work done; 0 means that nothing was there to do.
    ///
    /// What is durable is answered first, so that submitters go on while the rest runs; what is
    /// processed and what is taken in then share the next group.
    pub fn run_once(&mut self, now: Now) -> usize {
        let last = self.stalls.start_cycle(now.mono);
        self.gate.start_cycle(now.mono);
        self.counters.add(Counter::BusyNs, last.busy_ns);
        self.counters
            .add(Counter::Stalls, u64::from(last.has_stalled));
        let mut work = self.obey();
        work += self.outbox.turn(self.options.endpoints);
        work += self.poll_storage(now);
        work += self.learn(now);
        work += self.guest.turn(now, &mut self.storage, &self.gate);
        work += self.process.turn(
            now,
            self.options.batches_per_cycle,
            &mut self.storage,
            &mut self.produce,
            &mut self.counters,
        );
        work += self.take_in(now);
        work += self.flush_storage(now);
        self.intake.requests.ring();
        self.outbox.ring();
        self.gate.wake_writers();
        self.guest.ring();
        self.publish(now, work);
        self.stalls.note_work(work);
        work
    }

    /// Whether the loop goes on.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Whether reads are under way, or something waits for storage's room: news of it comes through
    /// the executor.
    pub fn awaits_kernel(&self) -> bool {
        let held = self.intake.is_holding() || self.process.is_holding();
        self.storage.awaits_kernel() || held || self.guest.awaits_kernel()
    }

    /// Whether writes are under way whose end only the next cycle sees.
    pub fn awaits_look(&self) -> bool {
        self.storage.awaits_look()
    }

    /// Whether something waits for room in a ring to another core, of which nobody gives news.
    pub fn awaits_ring(&self) -> bool {
        self.intake.awaits_ring() || !self.outbox.is_empty() || self.guest.awaits_ring()
    }

    /// Whether anything that this core could take arrived since the cycle. Looked at once more
    /// between the announcement of sleep and sleep itself.
    pub fn has_mail(&self) -> bool {
        self.intake.has_mail(&self.gate)
            || self.outbox.has_mail(self.options.endpoints)
            || !self.commands.is_empty()
            || self.storage.has_news()
            || self.guest.has_mail()
    }

    /// This core's doorbell.
    pub fn bell(&self) -> &crate::mesh::Doorbell {
        self.intake.requests.bell()
    }

    /// When the core must run again even if nobody rings.
    pub fn next_wake(&self) -> Option<Nanos> {
        let wakes = [
            self.process.next_wake(),
            self.storage.next_wake(),
            self.guest.next_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Notes that the core sleeps, so that the time is not taken for a stall.
    pub fn note_park(&mut self) {
        self.stalls.park();
        self.counters.increment(Counter::Parks);
    }

    fn obey(&mut self) -> usize {
        let mut work = 0;
        while let Some(command) = self.commands.pop() {
            work += 1;
            match command {
                Command::Drain => {
                    self.intake.admission = Admission::Closed;
                    self.guest.drain();
                    self.status.set_phase(Phase::Draining);
                }
                Command::Stop => self.flow = Flow::Stop,
                Command::Report(to) => {
                    // Nobody waits any more: then the report is not needed.
                    let _ = to.try_send(self.report());
                }
                Command::Slow(to) => {
                    let _ = to.try_send(CoreFlights {
                        core: self.options.core,
                        flights: self.produce.recorder.slowest(),
                    });
                }
            }
        }
        work
    }

    fn poll_storage(&mut self, now: Now) -> usize {
        let Core {
            storage,
            produce,
            outbox,
            counters,
            ..
        } = self;
        storage.poll(now, &mut |event| {
            produce.on_event(event, now, outbox, counters)
        })
    }

    /// Takes the ids of what was processed before this process began.
    fn learn(&mut self, now: Now) -> usize {
        let produce = &mut self.produce;
        self.storage
            .history(&mut |id, partition, offset, timestamp| {
                let record = Seen {
                    partition,
                    offset,
                    timestamp,
                };
                produce.remember(id, record, now);
            })
    }

    fn flush_storage(&mut self, now: Now) -> usize {
        let answers_wait = self.guest.has_answers() || self.gate.has_answers();
        let Core {
            storage,
            produce,
            outbox,
            counters,
            ..
        } = self;
        // Two more readings of the clock in one of many cycles with something to append.
        #[allow(clippy::disallowed_methods)]
        let start = produce.samples_append().then(clock::monotonic);
        let mut on = |event| produce.on_event(event, now, outbox, counters);
        // Handing a write to the kernel takes as long as sending an answer: who waits for no write goes
        // first. The next cycle comes at once, and starts it.
        let work = match answers_wait {
            true => storage.append(now, &mut on),
            false => storage.flush(now, &mut on),
        };
        if let Some(start) = start {
            #[allow(clippy::disallowed_methods)]
            let took_ns = clock::monotonic().since(start);
            produce.stages.record(Stage::Append, took_ns);
        }
        work
    }

    fn take_in(&mut self, now: Now) -> usize {
        let Core {
            storage,
            produce,
            outbox,
            counters,
            intake,
            gate,
            ..
        } = self;
        if intake.admission == Admission::NotYet {
            return 0;
        }
        let placed = produce.place_returned(storage, outbox, counters);
        let mut around = Surroundings {
            now: now.mono,
            storage,
            produce,
            outbox,
            counters,
        };
        placed + intake.take_from_cores(&mut around) + intake.take_from_here(gate, &mut around)
    }

    /// Tells control how the core stands.
    fn publish(&mut self, now: Now, work: usize) {
        self.counters.increment(Counter::Cycles);
        self.counters
            .add(Counter::Connections, self.gate.take_accepted());
        let stages = &mut self.produce.stages;
        self.gate
            .take_replied(|took_ns| stages.record(Stage::Reply, took_ns));
        stages.end_cycle();
        self.produce.recorder.turn(now.mono);
        if work > 0 {
            self.counters.increment(Counter::BusyCycles);
        }
        self.count_storage();
        // A few ids each cycle keep the window's age bound without ever taking long.
        self.produce.window.expire(now.mono, 64);
        let held = usize::from(self.intake.is_holding()) + usize::from(self.process.is_holding());
        let unanswered = usize::from(!self.outbox.is_empty());
        let mail = self.has_mail() || self.intake.has_any_mail(&self.gate);
        let busy = usize::from(self.storage.is_busy()) + usize::from(mail);
        let guests = self.guest.in_flight();
        let in_flight = self.produce.pending.len() + held + unanswered + busy + guests;
        let backlog = match self.process.halted() {
            // What will not be processed any more is nothing to wait for.
            Some(_) => 0,
            None => self.storage.backlog(),
        };
        let hindrances = self.storage.hindrances();
        let mesh_depth = self.intake.requests.depth() as u64;
        if self.gauges.is_due(now.mono) {
            self.tell_lag();
            self.tell_memory();
        }
        self.status.set_load(Load {
            in_flight: in_flight as u64,
            backlog,
            gateway_connections: self.gate.connections() as u64,
            kafka_connections: self.guest.connections() as u64,
            stripes_without_space: hindrances.stripes_without_space.into(),
            clusters_unreachable: hindrances.clusters_unreachable.into(),
            cycle_ns_max: self.stalls.report().worst_ns,
            mesh_depth,
            mesh_depth_max: self.gauges.note_mesh_depth(mesh_depth),
        });
        // Asked in this order: the error is made of text, which is only wanted once. And storage
        // goes first, since processing halts for what happened there.
        if !self.status.has_failed()
            && let Some(error) = self.storage.error()
        {
            self.status.fail_once(&error.to_string());
        }
        if let Some(reason) = self.process.halted() {
            self.status.fail_once(reason);
        }
    }

    fn count_storage(&mut self) {
        let counts = self.storage.take_counts();
        if counts == StorageCounts::default() {
            return;
        }
        let StorageCounts {
            assigned,
            revoked,
            rebalances,
            committed,
            aborted,
            unreachable,
            batches,
            batch_bytes,
            frames,
            frame_bytes,
        } = counts;
        self.counters.add(Counter::PartitionsAssigned, assigned);
        self.counters.add(Counter::PartitionsRevoked, revoked);
        self.counters.add(Counter::Rebalances, rebalances);
        self.counters.add(Counter::TransactionsCommitted, committed);
        self.counters.add(Counter::TransactionsAborted, aborted);
        self.counters.add(Counter::ClusterUnreachable, unreachable);
        self.counters.add(Counter::Batches, batches);
        self.counters.add(Counter::BatchBytes, batch_bytes);
        self.counters.add(Counter::Frames, frames);
        self.counters.add(Counter::FrameBytes, frame_bytes);
    }

    fn report(&self) -> CoreReport {
        let state = (0..self.storage.lanes())
            .map(|lane| {
                let mut pairs = Vec::new();
                self.storage.state(lane, &mut |key, value| {
                    pairs.push((key.to_vec(), value.to_vec()));
                });
                pairs
            })
            .collect();
        CoreReport { state }
    }
}
