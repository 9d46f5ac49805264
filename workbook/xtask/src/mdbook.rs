//! `cargo xtask mdbook`: the book's preprocessor. It puts the code, the transcripts and everything else that has its place elsewhere
//! where a chapter asks for it with a directive like `{{#code step1/lib.rs:register}}`. What there is: see [`crate::book::directive`].

use crate::book::Book;
use anyhow::{Result, bail};
use cluster::checkout;
use mdbook_preprocessor::book::BookItem;
use std::io;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    question: Option<Question>,
}

#[derive(clap::Subcommand)]
enum Question {
    /// mdBook asks whether we work with this renderer
    Supports { renderer: String },
}

pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.question.is_some() {
        return Ok(());
    }
    let (context, mut content) = mdbook_preprocessor::parse_input(io::stdin())?;
    let lang = cluster::Lang::named(context.config.book.language.as_deref().unwrap_or("en"));
    let book = Book::read(checkout(), lang)?;
    let mut errors = Vec::new();
    content.for_each_mut(|item| {
        if let BookItem::Chapter(chapter) = item
            && let Some(path) = &chapter.source_path
        {
            let page = context.root.join("src").join(path);
            let place = page.strip_prefix(checkout()).unwrap_or(&page).display().to_string();
            chapter.content = book.expand(&chapter.content, &place, &mut errors);
        }
    });
    if !errors.is_empty() {
        bail!("the book has faults\n{}", errors.join("\n"));
    }
    serde_json::to_writer(io::stdout(), &content)?;
    Ok(())
}
