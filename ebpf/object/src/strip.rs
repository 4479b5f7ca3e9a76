//! Dropping DWARF from the object: BTF is what the kernel reads, the rest is six times as large.

use object::{
    build::{
        Error,
        elf::{Builder, SectionData},
    },
    elf::SHT_STRTAB,
};

/// The object without its debugging sections.
pub(crate) fn strip_dwarf(object: &[u8]) -> Result<Vec<u8>, Error> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.to_vec();
        section.delete = name.starts_with(b".debug") || name.starts_with(b".rel.debug");
    }
    builder.delete_orphans();
    // LLVM keeps the names of sections and symbols in one table, the writer wants two.
    let names = builder.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}
