//! Giving memory back to the kernel.
//!
//! A daemon loads programs, and a shim reads configurations, once, and is idle from then on. What that took would count as
//! theirs for good: the allocator keeps what was freed, and pages of the executable stay mapped.

use std::fs;

/// The bytes of a large piece: what the C library begins with.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 * 1024;

/// Has the allocator give back large pieces as soon as they are free. By itself it keeps at the end of each heap twice as much
/// as the largest piece it has seen, and megabytes are parsed at the start. For the beginning of a process.
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    for setting in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: the call takes numbers, and sets what the allocator asks the next time.
        unsafe { libc::mallopt(setting, LARGE) };
    }
}

/// Gives back what is not needed to be idle: free memory, and the executable's pages, of which those that are needed again
/// come back from the page cache.
pub fn release() {
    release_heap();
    release_executable();
}

/// Gives back the whole pages of free memory that the allocator keeps.
pub(crate) fn release_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator takes its own locks, and gives back pages of free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes the executable's code and constants out of this process' memory, where nothing has been written to.
fn release_executable() {
    // Without it they just stay.
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (start, end) in maps.lines().filter_map(unwritten) {
        // SAFETY: the range is of a private mapping of the executable that the linker has made for reading and executing
        // alone, so what the file holds is what memory holds; the kernel reads it in again when it is touched.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The range of a line of proc_pid_maps(5), if it is code of a file, or its beginning with its constants. What comes
/// after the code may have been relocated, though it cannot be written to any more.
fn unwritten(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, access, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let is_file = fields.nth(1)? != "0";
    let is_constant = access == "r--p" && offset.bytes().all(|digit| digit == b'0');
    if !is_file || !(access == "r-xp" || is_constant) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_relocated_or_is_no_file_is_kept() {
        let kept = |line: &str| unwritten(line).is_none();
        assert_eq!(unwritten("7f10-7f20 r--p 00000000 08:01 42  /usr/bin/beeline"), Some((0x7f10, 0x7f20)));
        assert_eq!(unwritten("7f20-7f30 r-xp 00010000 08:01 42  /usr/bin/beeline"), Some((0x7f20, 0x7f30)));
        assert!(kept("7f30-7f40 r--p 00020000 08:01 42  /usr/bin/beeline"), "relocated, then protected");
        assert!(kept("7f40-7f50 rw-p 00030000 08:01 42  /usr/bin/beeline"));
        assert!(kept("7f50-7f60 r-xp 00000000 00:00 0  [vdso]"));
        assert!(kept("7f60-7f70 rw-p 00000000 00:00 0  [heap]"));
    }

    #[test]
    fn an_idle_process_holds_less_and_goes_on() {
        let resident = || {
            let statm = fs::read_to_string("/proc/self/statm").expect("statm is there");
            statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("its second field")
        };
        let pieces: Vec<Vec<u8>> = (0..4000).map(|_| vec![1; 4000]).collect();
        let before = resident();
        drop(pieces);
        release();
        let after = resident();
        assert!(after + 2000 < before, "{before} pages, then {after}");
    }
}
