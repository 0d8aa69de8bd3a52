//! Running a stage under callgrind.

use std::process::Command;

use crate::Failure;
use crate::stages::Stage;

/// Instructions of one time of a stage. What the first times cost more, since tables are empty, is in
/// both of two runs and so in neither's difference.
pub fn per_time(stage: &Stage) -> Result<f64, Failure> {
    let few = collected(stage, stage.times)?;
    let many = collected(stage, 3 * stage.times)?;
    Ok((many as f64 - few as f64) / (2 * stage.times) as f64)
}

/// Instructions that callgrind collects in `times` times of a stage.
fn collected(stage: &Stage, times: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Rust's names have the path in them, mangled or not.
        .args([
            "--collect-atstart=no",
            "--toggle-collect=*instructions*counted*",
        ])
        .arg(std::env::current_exe()?)
        .args(["--run", &times.to_string(), stage.name])
        .output()
        .map_err(|error| {
            format!("valgrind cannot be run (Debian: apt install valgrind): {error}")
        })?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("stage {} failed under valgrind:\n{told}", stage.name).into());
    }
    // "==123== Collected : 4567", one number for each kind of event; the only kind here is Ir.
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse::<u64>().ok())
        .ok_or_else(|| format!("valgrind did not say what it collected:\n{told}"))?;
    if collected == 0 {
        return Err(format!("callgrind did not find where stage {} is", stage.name).into());
    }
    Ok(collected)
}
