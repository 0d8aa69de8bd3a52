//! Reading back what is no longer in memory, with more and more partitions to a stripe.

use std::io;

use corelane::ids::{SegmentSeq, StripeId};
use corelane::log::files::segment_path;

use crate::rig::{Memory, Rig, record};
use crate::{Folder, Scale, baseline, print_rate};

/// Bytes of a record.
const RECORD: usize = 1000;

pub async fn run(scale: Scale) -> io::Result<()> {
    println!("\ncatch-up reads of {RECORD} B records, one stripe, all partitions at once");
    for partitions in [1, 100, 1000] {
        let folder = Folder::new("catch-up")?;
        let mut rig = Rig::start(&folder, scale.segment_bytes, partitions, Memory::Tight).await?;
        rig.bulk(&record(RECORD), scale.catch_up_bytes / RECORD)
            .await;
        let (seconds, bytes) = rig.drain().await?;
        let segment = folder.path().join(segment_path(StripeId(0), SegmentSeq(0)));
        let bare = baseline::sequential_read(segment, scale.catch_up_bytes).await?;
        let rate = bytes as f64 / seconds / 1e9;
        let beside = format!(
            "bare O_DIRECT 256 KiB x 4: {bare:.2}; {:.0} %",
            100.0 * rate / bare
        );
        print_rate(&format!("{partitions} partitions"), rate, "GB/s", &beside);
    }
    Ok(())
}
