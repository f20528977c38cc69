//! `plaza history export`: writes the store as one JSON object per line.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{
    directory::open,
    record::{Moved, Record},
    walk::{Visited, visit},
};
use crate::history::{fault::StartFault, files::Files};

/// Writes every message, read marker, name and lost tail. Leaves damaged rows out and reports them.
pub fn export(dir: &Path, out: &mut dyn Write) -> Result<Moved, StartFault> {
    let files = Files::new(dir);
    let db = open(&files)?;
    let (mut moved, mut broken) = (Moved::default(), None);
    let mut write = |record: &Record| {
        if broken.is_none() {
            let written = serde_json::to_writer(&mut *out, record).map_err(io::Error::from);
            broken = written.and_then(|()| out.write_all(b"\n")).err();
        }
    };
    visit(&db, &files, &mut |visited| match visited {
        Visited::Log => {}
        Visited::Damage(what) => moved.left_out.push(what),
        Visited::Record(record) => {
            moved.count(&record);
            write(&record);
        }
    })
    .map_err(StartFault::Store)?;
    write(&Record::End {
        messages: moved.messages,
        others: moved.others,
    });
    let flushed = broken.map_or_else(|| out.flush(), Err);
    flushed.map_err(|why| StartFault::Io {
        file: "the export".into(),
        why,
    })?;
    Ok(moved)
}
