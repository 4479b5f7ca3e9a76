//! Just enough of ELF to tell a static executable from one that wants a dynamic loader.

use anyhow::{Context, Result, bail};

/// The program header that names a dynamic loader (elf(5), PT_INTERP).
const PT_INTERP: u32 = 3;

/// True when the executable starts without a dynamic loader.
pub(crate) fn is_static(file: &[u8]) -> Result<bool> {
    // e_ident: magic, then 2 for 64 bits and 1 for little endian, which is all that Beeline is built for.
    if file.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        bail!("not a 64-bit little-endian ELF file");
    }
    let table =
        usize::try_from(u64::from_le_bytes(field(file, 32)?)).context("program headers out of reach")?;
    let size = usize::from(u16::from_le_bytes(field(file, 54)?));
    let count = usize::from(u16::from_le_bytes(field(file, 56)?));
    for index in 0..count {
        let header = table.checked_add(index * size).context("program headers out of reach")?;
        if u32::from_le_bytes(field(file, header)?) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

fn field<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N]> {
    let bytes = file.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.copied().with_context(|| format!("the ELF file ends before byte {offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with one program header of the given type behind it.
    fn elf(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        file[32] = 64;
        file[54] = 56;
        file[56] = 1;
        file[64..68].copy_from_slice(&kind.to_le_bytes());
        file
    }

    #[test]
    fn an_interpreter_makes_it_dynamic() {
        assert!(!is_static(&elf(PT_INTERP)).unwrap());
        assert!(is_static(&elf(1)).unwrap());
    }

    #[test]
    fn broken_files_are_errors() {
        assert!(is_static(b"#!/bin/sh\n").is_err());
        assert!(is_static(&elf(1)[..70].to_vec()[..66]).is_err());
    }
}
