//! Which partitions this core processes: told at the start, or given and taken by the consumer
//! group.
//!
//! Nothing here waits. A partition that comes is opened by the helper, which finds out where it
//! stands; then it is read from its position. One that goes is no longer processed, what is open
//! of it is brought to its end, its position is committed, and only then is it given away; the
//! other partitions go on meanwhile.

use super::part::Phase;
use super::{Assignment, Cluster};
use crate::ids::{Offset, PartitionId, UnixMillis};
use crate::kafka::helper::{Job, OpenRequest, Opened};
use crate::kafka::native::{KafkaError, TopicPartition};
use crate::storage::LaneNews;

impl Cluster {
    /// Begins: with transactions by fencing predecessors, so that what they left open has ended
    /// before positions are looked at.
    pub(super) fn begin(&mut self) {
        match self.transaction {
            Some(_) => self.helper.ask(Job::InitTransactions),
            None => self.open_first(),
        }
    }

    /// Opens what is this core's from the start, or joins the group.
    pub(super) fn open_first(&mut self) {
        match self.assignment.clone() {
            Assignment::Static(ids) => {
                let mine = (0..self.parts.len() as u32)
                    .filter(|&part| ids.contains(&self.part(part).id))
                    .collect();
                self.ask_open(mine);
            }
            Assignment::Group => {
                let mut topics: Vec<_> = self.parts.iter().map(|part| part.topic).collect();
                // A topic's partitions lie one after another; librdkafka refuses to hear it twice.
                topics.dedup();
                if let Err(error) = self.consumer.subscribe(&topics) {
                    self.fail(error.to_string());
                }
            }
        }
        self.is_prepared = true;
    }

    fn ask_open(&mut self, parts: Vec<u32>) {
        if parts.is_empty() {
            return;
        }
        self.opening += parts.len();
        let mut requests = Vec::with_capacity(parts.len());
        for part in parts {
            let entry = self.part_mut(part);
            entry.phase = Phase::Opening;
            entry.turn = entry.turn.wrapping_add(1);
            let entry = self.part(part);
            let state = self.state_topics[entry.topic.0 as usize];
            requests.push(OpenRequest {
                part,
                turn: entry.turn,
                topic: self.consumer.topic_name(entry.topic).to_owned(),
                state_topic: self.consumer.topic_name(state).to_owned(),
                index: entry.index,
            });
        }
        self.helper.ask(Job::Open(requests));
    }

    pub(super) fn on_opened(&mut self, opened: Vec<Opened>) {
        let mut starts = Vec::with_capacity(opened.len());
        for Opened {
            part,
            turn,
            position,
            end,
            state,
        } in opened
        {
            self.opening -= 1;
            let entry = self.part_mut(part);
            // Lost again while it was being opened, and maybe given back since.
            if entry.phase != Phase::Opening || entry.turn != turn {
                continue;
            }
            entry.open(position, end, state);
            let place = entry.place();
            starts.push((place, position));
            tracing::info!(
                cluster = self.name,
                topic = self.consumer.topic_name(place.topic),
                partition = place.partition,
                %position,
                %end,
                "a partition is processed here from now on"
            );
            self.news.push_back(LaneNews::Undone {
                lane: part as usize,
            });
        }
        let (again, new): (Vec<_>, Vec<_>) = starts
            .into_iter()
            .partition(|(place, _)| self.is_read(*place));
        for (place, position) in again {
            if let Err(error) = self.consumer.seek(place, position) {
                self.fail(error.to_string());
            }
        }
        if !new.is_empty() {
            self.begin_reading(&new);
        }
    }

    fn is_read(&self, place: TopicPartition) -> bool {
        let part = self.number_of(place);
        part.is_some_and(|part| self.part(part).is_read)
    }

    fn begin_reading(&mut self, starts: &[(TopicPartition, Offset)]) {
        for (place, _) in starts {
            if let Some(part) = self.number_of(*place) {
                self.part_mut(part).is_read = true;
            }
        }
        self.counts.assigned += starts.len() as u64;
        let assigned = match self.assignment {
            Assignment::Static(_) => self.consumer.assign(starts),
            Assignment::Group => self.consumer.incremental_assign(starts),
        };
        if let Err(error) = assigned {
            self.fail(error.to_string());
        }
    }

    /// Finds out anew where the partitions that are processed here stand, since someone else may
    /// have processed them meanwhile.
    pub(super) fn reopen(&mut self) {
        let open: Vec<_> = (0..self.parts.len() as u32)
            .filter(|&part| self.part(part).phase == Phase::Open)
            .collect();
        for &part in &open {
            self.read_ahead -= self.part_mut(part).close();
            self.news.push_back(LaneNews::Undone {
                lane: part as usize,
            });
        }
        self.ask_open(open);
    }

    pub(super) fn on_assigned(&mut self, places: &[TopicPartition]) {
        let parts: Vec<_> = places.iter().filter_map(|p| self.number_of(*p)).collect();
        match parts.is_empty() {
            // The group still waits for the answer.
            true => self.answer_assignment(),
            false => self.ask_open(parts),
        }
    }

    fn answer_assignment(&mut self) {
        if let Err(error) = self.consumer.incremental_assign(&[]) {
            self.fail(error.to_string());
        }
    }

    pub(super) fn on_revoked(&mut self, places: &[TopicPartition]) {
        let parts: Vec<_> = places.iter().filter_map(|p| self.number_of(*p)).collect();
        for &part in &parts {
            let entry = self.part_mut(part);
            if entry.phase == Phase::Open {
                entry.phase = Phase::Closing;
            }
        }
        self.closing.extend(parts);
        self.is_reporting = false;
    }

    /// The group has gone on without this core: what is open must not be committed.
    pub(super) fn on_lost(&mut self, places: &[TopicPartition]) {
        let parts: Vec<_> = places.iter().filter_map(|p| self.number_of(*p)).collect();
        self.closing.retain(|part| !parts.contains(part));
        for &part in &parts {
            self.spoil_transaction(part);
        }
        self.give_away(&parts);
    }

    /// Gives away what is closing, once nothing of it is open. Returns the amount of work done.
    pub(super) fn tend_closing(&mut self) -> usize {
        let is_open = |part: &u32| self.part(*part).open_len() > 0;
        if self.closing.is_empty() || self.is_reporting || self.closing.iter().any(is_open) {
            return 0;
        }
        if self.transaction.is_none() {
            self.report_closing();
        } else {
            // Their positions were part of the transactions.
            self.on_offsets_committed(Ok(()));
        }
        1
    }

    pub(super) fn on_offsets_committed(&mut self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            // Whoever takes over processes some records again.
            tracing::warn!(cluster = self.name, %error, "positions were not committed");
        }
        self.is_reporting = false;
        let parts = std::mem::take(&mut self.closing);
        self.give_away(&parts);
    }

    fn give_away(&mut self, parts: &[u32]) {
        let mut places = Vec::with_capacity(parts.len());
        for &part in parts {
            let entry = self.part_mut(part);
            let dropped = entry.close();
            entry.is_read = false;
            places.push(entry.place());
            self.read_ahead -= dropped;
            self.news.push_back(LaneNews::Undone {
                lane: part as usize,
            });
        }
        self.counts.revoked += parts.len() as u64;
        if let Err(error) = self.consumer.incremental_unassign(&places) {
            self.fail(error.to_string());
        }
    }

    /// As [`crate::storage::Consumer::history`].
    pub fn history(
        &mut self,
        seen: &mut impl FnMut(&[u8], PartitionId, Offset, UnixMillis),
    ) -> usize {
        // One piece a cycle: they are bounded.
        let Some(history) = self.history.pop_front() else {
            return 0;
        };
        let partition = self.part(history.part).id;
        let mut count = 0;
        for (id, offset, timestamp) in history.iter() {
            seen(id, partition, offset, timestamp);
            count += 1;
        }
        count
    }
}
