//! What runs where: samples, put to the functions of the processes that they were taken of.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use speedwell_wire::{ProfileReport, Sampled};

use super::image::Images;
use super::kernel::Kernel;
use super::maps::{Mapping, Place, Space};
use super::perf_map::PerfMap;
use super::records::{Record, Sample, What};
use super::stacks::{Frame, Stacks};
use super::unwind::{self, Cache};

/// What follows a call in CPython 3.12's trampoline (Python/asm_trampoline.S), with the call before it. From 3.13 on it keeps a
/// frame pointer.
const STUB: [u8; 7] = [0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3]; // call *%rcx; add $8, %rsp; ret

/// The processes that are sampled.
#[derive(Default)]
pub struct Processes {
    spaces: HashMap<u32, Space>,
    parents: HashMap<u32, u32>,
    images: Images,
    cache: Cache,
    stubs: HashMap<(u32, u64), bool>,
    /// Processes whose maps were read again for an unknown address since the last [`Self::take`].
    refreshed: HashSet<u32>,
    stacks: Stacks,
    lost: u64,
    build_ids: HashMap<Arc<str>, String>,
}

impl Processes {
    /// Those that are there before any record of them.
    pub fn meet_all(pids: &[u32]) -> Self {
        let mut all = Self::default();
        Kernel::running();
        pids.iter().for_each(|pid| all.meet(*pid));
        all
    }

    fn meet(&mut self, pid: u32) {
        if let Ok(space) = Space::read(pid, &mut self.images) {
            self.spaces.insert(pid, space);
        }
    }

    /// Takes the records of some moment, of all processors.
    pub fn take(&mut self, mut records: Vec<Record<'_>>) {
        records.sort_by_key(|record| record.time);
        self.refreshed.clear();
        for Record { pid, what, .. } in records {
            match what {
                What::Lost(count) => self.lost += count,
                What::Exec => drop(self.spaces.insert(pid, Space::default())),
                What::Fork { parent } => {
                    let copy = self.spaces.get(&parent).map(Space::copy);
                    self.spaces.insert(pid, copy.unwrap_or_default());
                    self.parents.insert(pid, parent);
                }
                What::Map {
                    addresses,
                    offset,
                    path,
                } => {
                    let mapping = Mapping {
                        addresses,
                        offset,
                        path,
                    };
                    let space = self.spaces.entry(pid).or_default();
                    space.add(pid, mapping, &mut self.images);
                }
                What::Sample(sample) => self.count(pid, &sample),
            }
        }
    }

    /// Forgets the samples, and not the processes.
    pub fn forget(&mut self) {
        self.stacks.clear();
        self.lost = 0;
    }

    fn count(&mut self, pid: u32, sample: &Sample<'_>) {
        let kernel = Kernel::running();
        let mut frames: Vec<Frame> = sample
            .kernel
            .iter()
            .map(|address| Frame::Kernel(kernel.function(*address).cloned()))
            .collect();
        if frames.is_empty() && !self.knows(pid, sample.address) && self.refreshed.insert(pid) {
            self.meet(pid);
        }
        let space = self.spaces.entry(pid).or_default();
        let stubs = &mut self.stubs;
        let mut is_stub = |address| {
            *stubs
                .entry((pid, address))
                .or_insert_with(|| follows_stub_call(pid, address))
        };
        let stack = unwind::unwind(space.unwinder(), &mut self.cache, sample, &mut is_stub);
        for address in &stack.addresses {
            frames.push(frame(space, pid, *address, &mut self.build_ids));
        }
        if stack.is_cut {
            frames.push(Frame::Outer);
        }
        if frames.is_empty() {
            frames.push(Frame::Unknown);
        }
        self.stacks.add(frames);
    }

    fn knows(&self, pid: u32, address: u64) -> bool {
        let space = self.spaces.get(&pid);
        space.is_some_and(|space| space.at(address).is_some())
    }

    /// The profile. Call it while the processes live: they have written names of code that they made.
    pub fn report(&self, sampled: Sampled) -> Result<ProfileReport, String> {
        let maps: HashMap<u32, PerfMap> = self
            .spaces
            .keys()
            .map(|pid| (*pid, PerfMap::read(*pid)))
            .collect();
        // A child that began as a copy has the code of its parents.
        let made = |pid: u32, address: u64| {
            let mut next = Some(pid);
            while let Some(pid) = next {
                if let Some(name) = maps.get(&pid).and_then(|map| map.at(address)) {
                    return Some(name.to_owned());
                }
                next = self
                    .parents
                    .get(&pid)
                    .copied()
                    .filter(|parent| *parent != pid);
            }
            None
        };
        let build_id = |object: &str| match object {
            "[kernel]" => Kernel::running().build_id.clone(),
            _ => self.build_ids.get(object).cloned(),
        };
        let sampled = Sampled {
            lost: self.lost,
            ..sampled
        };
        self.stacks.report(sampled, &made, &build_id)
    }
}

/// The function at an address of a process.
fn frame(
    space: &Space,
    pid: u32,
    address: u64,
    build_ids: &mut HashMap<Arc<str>, String>,
) -> Frame {
    match space.at(address) {
        Some(Place::File(image, bias)) => {
            if let Some(id) = &image.build_id
                && !build_ids.contains_key(&image.name)
            {
                build_ids.insert(Arc::clone(&image.name), id.clone());
            }
            match image.function(address.wrapping_sub(*bias)) {
                Some(name) => Frame::Of(Arc::clone(name), Arc::clone(&image.name)),
                None => Frame::Unnamed(Arc::clone(&image.name)),
            }
        }
        Some(Place::Made) => Frame::Made(pid, address),
        Some(Place::Unread(name)) => Frame::Unnamed(Arc::from(name.as_str())),
        None => Frame::Unknown,
    }
}

/// Whether the code before and at a return address is the trampoline's; no program's file holds these bytes there by chance
/// without the same frame.
fn follows_stub_call(pid: u32, address: u64) -> bool {
    let mut code = [0; STUB.len()];
    let memory = fs::File::open(format!("/proc/{pid}/mem"));
    let read = address
        .checked_sub(2)
        .is_some_and(|at| memory.is_ok_and(|file| file.read_exact_at(&mut code, at).is_ok()));
    read && code == STUB
}
