//! What a container's processes have open.

use std::fs;

/// Descriptors of some processes together; one that has ended counts as none.
pub(crate) fn descriptors(processes: &[u32]) -> u64 {
    processes.iter().map(|process| of_process(*process)).sum()
}

fn of_process(process: u32) -> u64 {
    let path = format!("/proc/{process}/fd");
    // Since Linux 6.2 the directory's size is their number, and nobody has to count.
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > 0 => metadata.len(),
        _ => fs::read_dir(&path).map_or(0, |entries| entries.count() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_counted() {
        let own = [std::process::id()];
        let before = descriptors(&own);
        let _open: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // Other tests of this process open and close some, too.
        assert!(descriptors(&own) >= before + 40, "{before}");
        assert_eq!(descriptors(&[u32::MAX]), 0);
    }
}
