//! The option `tag`: Docker's templates, of which the fields are understood and nothing else.

use crate::container::record::Record;
use crate::error::Error;

/// A text with fields of the container in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    FullId,
    Name,
    ImageId,
    ImageFullId,
    ImageName,
    DaemonName,
}

const FIELDS: [(&str, Field); 7] = [
    (".ID", Field::Id),
    (".FullID", Field::FullId),
    (".Name", Field::Name),
    (".ImageID", Field::ImageId),
    (".ImageFullID", Field::ImageFullId),
    (".ImageName", Field::ImageName),
    (".DaemonName", Field::DaemonName),
];

impl Tag {
    /// Reads `{{.Name}}/{{.ID}}`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after
                .split_once("}}")
                .ok_or_else(|| Error::Invalid(format!("invalid log opt tag={text}: {{{{ without }}}}")))?;
            let field = FIELDS.iter().find(|(name, _)| *name == inside.trim()).ok_or_else(|| {
                let names: Vec<_> = FIELDS.iter().map(|(name, _)| format!("{{{{{name}}}}}")).collect();
                Error::Invalid(format!(
                    "invalid log opt tag={text}: {{{{{inside}}}}} is none of {}",
                    names.join(", ")
                ))
            })?;
            parts.extend([Part::Text(before.to_owned()), Part::Field(field.1)]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts: parts.into_iter().filter(|part| *part != Part::Text(String::new())).collect() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Docker's default where a tag is needed: the beginning of the container's id.
    pub(super) fn or_id(&self) -> Self {
        if self.is_empty() { Self { parts: vec![Part::Field(Field::Id)] } } else { self.clone() }
    }

    pub(super) fn render(&self, record: &Record) -> String {
        let image = record.image_id.trim_start_matches("sha256:");
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(Field::Id) => record.id.short().to_owned(),
            Part::Field(Field::FullId) => record.id.to_string(),
            Part::Field(Field::Name) => record.name.to_string(),
            Part::Field(Field::ImageId) => image.chars().take(12).collect(),
            Part::Field(Field::ImageFullId) => record.image_id.clone(),
            Part::Field(Field::ImageName) => record.config.image.clone(),
            Part::Field(Field::DaemonName) => "docker".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_text_alternate() {
        let tag = Tag::parse("a/{{.Name}}{{ .ID }}").unwrap();
        let expected = [Part::Text("a/".into()), Part::Field(Field::Name), Part::Field(Field::Id)];
        assert_eq!(tag.parts, expected);
        assert!(Tag::parse("").unwrap().is_empty());
        assert_eq!(Tag::parse("").unwrap().or_id().parts, [Part::Field(Field::Id)]);
        assert!(Tag::parse("{{.Name").is_err());
        assert!(Tag::parse("{{printf .Name}}").unwrap_err().to_string().contains("{{.ImageName}}"));
    }
}
