//! Noise on the CPUs that are not measured, to prove that those that are stay quiet.
//!
//! Owns: the threads that make it, and their end. Never does: running on a CPU that is measured.
//! Runs on: a thread on each CPU of housekeeping.

use std::hint::black_box;
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};
use serde::{Deserialize, Serialize};

use super::pages::shootdown;
use super::pin::pin_to;
use crate::ids::CpuId;

/// Memory that `cpu` streams through, more than caches hold.
const STREAM_WORDS: usize = (64 << 20) / 8;

/// Pause between datagrams of `irq`: 20,000 timer interrupts a second.
const PAUSE: Duration = Duration::from_micros(50);

/// What kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stress {
    /// Pages are taken away, so that every CPU that runs this process is told to forget them.
    Tlb,
    /// Every CPU that runs this process is made to pass a memory barrier.
    Membarrier,
    /// Timers, wake-ups and datagrams over the loopback: interrupts and soft interrupts.
    Irq,
    /// Computing, and memory bandwidth.
    Cpu,
}

impl Stress {
    /// All kinds.
    pub const ALL: [Stress; 4] = [Stress::Tlb, Stress::Membarrier, Stress::Irq, Stress::Cpu];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stress::Tlb => "tlb",
            Stress::Membarrier => "membarrier",
            Stress::Irq => "irq",
            Stress::Cpu => "cpu",
        }
    }
}

/// Noise that is being made; ends when this is dropped.
#[derive(Debug)]
pub struct Noise {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Noise {
    /// Starts a thread of noise on each of `cpus`.
    ///
    /// # Errors
    /// A thread cannot be started, or the kernel does not offer what it takes.
    pub fn start(stress: Stress, cpus: &[CpuId]) -> io::Result<Noise> {
        if stress == Stress::Membarrier {
            membarrier(MembarrierCommand::RegisterPrivateExpedited)?;
        }
        let mut noise = Noise {
            stop: Arc::default(),
            rounds: Arc::default(),
            threads: Vec::with_capacity(cpus.len()),
        };
        for cpu in cpus.iter().copied() {
            let (stop, rounds) = (Arc::clone(&noise.stop), Arc::clone(&noise.rounds));
            let thread = thread::Builder::new()
                .name(format!("stress-{}", cpu.0))
                .spawn(move || {
                    pin_to(cpu)?;
                    run(stress, &|| {
                        rounds.fetch_add(1, Ordering::Relaxed);
                        !stop.load(Ordering::Relaxed)
                    })
                })?;
            noise.threads.push(thread);
        }
        Ok(noise)
    }

    /// Ends it; says how many rounds all threads made together, so that nobody takes silence for
    /// proof.
    ///
    /// # Errors
    /// A thread could not make its noise.
    pub fn stop(mut self) -> io::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("noise has nothing that panics")?;
        }
        Ok(self.rounds.load(Ordering::Relaxed))
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // Who drops it has an error of its own to tell.
            let _ = thread.join();
        }
    }
}

/// Makes noise, round by round, as long as `goes_on`.
fn run(stress: Stress, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    match stress {
        Stress::Tlb => {
            while goes_on() {
                shootdown()?;
            }
        }
        Stress::Membarrier => {
            while goes_on() {
                membarrier(MembarrierCommand::PrivateExpedited)?;
            }
        }
        Stress::Irq => return datagrams(goes_on),
        Stress::Cpu => {
            let mut memory = vec![1_u64; STREAM_WORDS];
            while goes_on() {
                for word in &mut memory {
                    *word = word.wrapping_mul(0x9e37_79b9).rotate_left(7);
                }
                black_box(&memory);
            }
        }
    }
    Ok(())
}

/// A thread that sleeps and sends, and one that is woken by each datagram; both on this CPU.
fn datagrams(goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    let receiver = UdpSocket::bind(("127.0.0.1", 0))?;
    let sender = UdpSocket::bind(("127.0.0.1", 0))?;
    sender.connect(receiver.local_addr()?)?;
    // A thread inherits the CPU of the one that starts it.
    thread::scope(|scope| {
        let woken = scope.spawn(|| {
            let mut byte = [1];
            // A datagram of no bytes is the end.
            while receiver.recv(&mut byte)? > 0 {}
            io::Result::Ok(())
        });
        let mut sent = Ok(1);
        while sent.is_ok() && goes_on() {
            sent = sender.send(&[1]);
            thread::sleep(PAUSE);
        }
        // The receiver waits for it; the loopback drops datagrams where the queue is full.
        while !woken.is_finished() {
            sender.send(&[])?;
            thread::sleep(PAUSE);
        }
        woken.join().expect("receiving has nothing that panics")?;
        sent.map(|_| ())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::allowed_cpus;

    #[test]
    fn every_kind_makes_noise_and_ends() {
        let cpu = allowed_cpus().unwrap()[0];
        for stress in Stress::ALL {
            let noise = Noise::start(stress, &[cpu]).unwrap();
            while noise.rounds.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
            assert!(noise.stop().unwrap() >= 3, "{stress:?}");
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_told() {
        let noise = Noise::start(Stress::Cpu, &[CpuId(1023)]).unwrap();
        assert!(noise.stop().is_err());
    }
}
