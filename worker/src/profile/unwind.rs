//! Stacks of the program from what a sample keeps of it: registers, and the top of its stack.
//!
//! Interpreters are compiled without frame pointers, and a build with them would be another one than is measured: stacks are
//! unwound by the tables that every program carries for exceptions (`.eh_frame`), with framehop.

use std::sync::Arc;

use framehop::{CacheNative, FrameAddress, MayAllocateDuringUnwind, UnwindRegsNative};

use super::records::{Sample, word};

/// What knows the files of a process.
pub type Unwinder = framehop::UnwinderNative<Arc<[u8]>, MayAllocateDuringUnwind>;
/// Rules that were found before.
pub type Cache = CacheNative<MayAllocateDuringUnwind>;

/// Functions of a stack that are kept.
const DEEPEST: usize = 200;

/// A program's stack: addresses to look functions up by, the innermost first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The addresses.
    pub addresses: Vec<u64>,
    /// The outermost functions are not known.
    pub is_cut: bool,
}

/// Unwinds a sample's stack. `is_stub` says of a return address that it lies in a frame of exactly two words, in code that no
/// table describes.
pub fn unwind(
    unwinder: &Unwinder,
    cache: &mut Cache,
    sample: &Sample<'_>,
    is_stub: &mut dyn FnMut(u64) -> bool,
) -> Stack {
    use framehop::Unwinder as _;
    let Some((mut registers, first, top)) = start(&sample.registers) else {
        return Stack::default();
    };
    let mut read = |address: u64| {
        let at = address
            .checked_sub(top)
            .and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| at + 8 <= sample.stack.len()).ok_or(())?;
        Ok(word(sample.stack, at, 8))
    };
    let mut stack = Stack {
        addresses: vec![first],
        is_cut: true,
    };
    let mut address = FrameAddress::from_instruction_pointer(first);
    while stack.addresses.len() < DEEPEST {
        let next = if address.is_return_address() && is_stub(address.address()) {
            leave_stub(&mut registers, &mut read)
        } else {
            let next = unwinder.unwind_frame(address, &mut registers, cache, &mut read);
            next.ok()
        };
        let found = match next {
            Some(Some(found)) => FrameAddress::from_return_address(found),
            Some(None) => None,
            None => return stack,
        };
        let Some(found) = found else {
            stack.is_cut = false;
            return stack;
        };
        stack.addresses.push(found.address_for_lookup());
        address = found;
    }
    stack
}

#[cfg(target_arch = "x86_64")]
fn start(registers: &[u64]) -> Option<(UnwindRegsNative, u64, u64)> {
    let [frame, stack, instruction] = registers else {
        return None;
    };
    let found = UnwindRegsNative::new(*instruction, *stack, *frame);
    Some((found, *instruction, *stack))
}

#[cfg(target_arch = "aarch64")]
fn start(registers: &[u64]) -> Option<(UnwindRegsNative, u64, u64)> {
    let [frame, link, stack, instruction] = registers else {
        return None;
    };
    // Pointer authentication marks the upper bits of return addresses; user space has 48 bits of them at most.
    let mask = framehop::aarch64::PtrAuthMask(u64::MAX >> 16);
    let found = UnwindRegsNative::new_with_ptr_auth_mask(mask, *link, *stack, *frame);
    Some((found, *instruction, *stack))
}

/// Over the frame of CPython 3.12's trampoline: a word that aligns the stack, and the return address.
#[cfg(target_arch = "x86_64")]
fn leave_stub(
    registers: &mut UnwindRegsNative,
    read: &mut impl FnMut(u64) -> Result<u64, ()>,
) -> Option<Option<u64>> {
    let stack = registers.sp();
    let next = read(stack.checked_add(8)?).ok()?;
    registers.set_sp(stack.checked_add(16)?);
    Some(Some(next))
}

/// There the trampoline keeps a frame pointer.
#[cfg(target_arch = "aarch64")]
fn leave_stub(
    _: &mut UnwindRegsNative,
    _: &mut impl FnMut(u64) -> Result<u64, ()>,
) -> Option<Option<u64>> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// A stack of words from 0x1000 on, with bp, sp and ip.
    fn unwound(words: &[u64], registers: [u64; 3], stub: Option<u64>) -> Stack {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let sample = Sample {
            registers: registers.into(),
            stack: &bytes,
            ..Sample::default()
        };
        unwind(
            &Unwinder::new(),
            &mut Cache::new(),
            &sample,
            &mut |address| Some(address) == stub,
        )
    }

    /// Code that no file describes keeps frame pointers, or its stack ends there.
    #[test]
    fn without_tables_frame_pointers_are_followed_to_the_stacks_end() {
        let words = [0, 0x1020, 0x51, 0, 0, 0];
        let stack = unwound(&words, [0x1008, 0x1000, 0x77], None);
        assert_eq!(stack.addresses, [0x77, 0x50]);
        let lost = unwound(&words, [0x9_0000, 0x1000, 0x77], None);
        assert_eq!(lost.addresses, [0x77]);
        assert!(lost.is_cut);
        assert_eq!(unwound(&words, [0; 3], None).addresses[0], 0);
        let none = Sample::default();
        let nothing = unwind(&Unwinder::new(), &mut Cache::new(), &none, &mut |_| false);
        assert_eq!(nothing, Stack::default());
    }

    /// Its return address lies above one word of padding; the frame pointer stays its caller's.
    #[test]
    fn a_trampoline_without_a_frame_pointer_is_left() {
        let words = [0, 0x1030, 0x51, 0, 0x61, 0, 0, 0];
        let stack = unwound(&words, [0x1008, 0x1000, 0x77], Some(0x51));
        assert_eq!(stack.addresses, [0x77, 0x50, 0x60]);
    }
}
