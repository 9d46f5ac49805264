//! `cargo workbook`: the learner's commands. Their names are the same in both languages, all that is said about them is not.

use crate::commands::{check, diff, doctor, goto, hint, list, new, next, reset, run, solution, start, watch};
use crate::learner::Learner;
use crate::progress::Progress;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use cluster::Lang;
use cluster::tr;
use course::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The checkout that this command belongs to.
fn root() -> PathBuf {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let here = PathBuf::from(manifest);
    let root = here.ancestors().nth(2).unwrap_or(&here).to_path_buf();
    root.canonicalize().unwrap_or(root)
}

/// The values of `--lang`.
const LANGUAGES: [&str; 2] = ["en", "ja"];

/// The language, and whether it was chosen now. It is needed before the arguments are understood: the help is written in it.
/// `--lang` comes first, then what was chosen with it earlier, then the locale.
fn language(root: &Path) -> (Lang, bool) {
    let arguments: Vec<String> = std::env::args().collect();
    let after = arguments.iter().position(|argument| argument == "--lang").and_then(|place| arguments.get(place + 1));
    let value = arguments.iter().find_map(|argument| argument.strip_prefix("--lang=")).or(after.map(String::as_str));
    if let Some(value) = value.filter(|value| LANGUAGES.contains(value)) {
        return (Lang::named(value), true);
    }
    // A file that cannot be read is reported by the command itself.
    let earlier = Progress::read(root).ok().and_then(|progress| progress.lang);
    (earlier.map_or_else(Lang::from_env, |lang| Lang::named(&lang)), false)
}

/// Keeps the language that was chosen, for the next command. Where that cannot be written, the choice is for this command only.
fn remember(root: &Path, lang: Lang) {
    let known = |progress: Progress| progress.lang.as_deref() == Some(lang.name());
    if !Progress::read(root).is_ok_and(known) {
        let _ = Progress::change(root, |progress| progress.lang = Some(lang.name().to_owned()));
    }
}

/// What is wrong with the arguments, in the reader's language: clap speaks English only.
fn refused(error: &clap::Error, names: &[String], lang: Lang) -> Error {
    let text = |kind: ContextKind| {
        error.get(kind).map(|value| match value {
            ContextValue::Strings(all) => all.join(" "),
            value => value.to_string(),
        })
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let cause = match error.kind() {
        ErrorKind::MissingRequiredArgument => tr!(lang, "{argument} is missing", "{argument} が指定されていません"),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            tr!(lang, "there is no command \"{name}\"", "「{name}」というコマンドはありません")
        }
        ErrorKind::UnknownArgument => {
            tr!(lang, "the argument \"{argument}\" is not known here", "引数「{argument}」は、ここでは使えません")
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            tr!(lang, "a value is missing: {argument}", "値が指定されていません: {argument}")
        }
        ErrorKind::InvalidValue => {
            let possible = text(ContextKind::ValidValue).unwrap_or_default();
            tr!(
                lang,
                "\"{value}\" is no value of {argument}; there are: {possible}",
                "「{value}」は {argument} の値として使えません。使えるのは次の値です: {possible}"
            )
        }
        ErrorKind::ArgumentConflict => {
            tr!(lang, "{argument} can be given only once", "{argument} は一度しか指定できません")
        }
        kind => kind.to_string(),
    };
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg].into_iter().find_map(text);
    let command = std::env::args().find(|argument| names.contains(argument));
    let next = match (suggested, command, error.kind()) {
        (Some(name), command, _) => format!("cargo workbook {}{name}", command.map(|c| c + " ").unwrap_or_default()),
        (None, Some(command), ErrorKind::MissingRequiredArgument) => {
            let name = if command == "new" { "../my_worker" } else { "4" };
            tr!(lang, "cargo workbook {command} {name}   (for example)", "cargo workbook {command} {name}   (例)")
        }
        (None, Some(command), _) => format!("cargo workbook {command} --help"),
        (None, None, _) => "cargo workbook --help".into(),
    };
    Error::Cannot(cause, next)
}

fn command(lang: Lang) -> Command {
    let step = || {
        Arg::new("step").value_name("N").help(tr!(
            lang,
            "the step: 3, step3 or its full name; without it, the one that you are at",
            "ステップ: 3、step3、または完全な名前。省略すると現在のステップ"
        ))
    };
    let needed = || {
        step().required(true).help(tr!(
            lang,
            "the step: 3, step3 or its full name",
            "ステップ: 3、step3、または完全な名前"
        ))
    };
    let hole = || {
        Arg::new("hole").long("hole").value_name("ID").help(tr!(
            lang,
            "open this hole only; the others are filled",
            "この穴だけを空け、ほかは埋めておく"
        ))
    };
    let flag = |name: &'static str, help: String| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let json = || flag("json", tr!(lang, "print JSON, for programs", "プログラム向けに JSON を出力する"));
    let sub = |name: &'static str, about: String| {
        Command::new(name).about(about).help_template(template(lang)).disable_help_flag(true).arg(help(lang))
    };
    Command::new("cargo workbook")
        .bin_name("cargo workbook")
        .about(tr!(lang, "The way through the workbook, step by step", "ワークブックを 1 ステップずつ進めるためのコマンド"))
        .after_help(tr!(
            lang,
            "Exit codes: 0 all is well; 1 your worker is not right yet; 2 that cannot be done; 3 something is wrong with the machine (cargo workbook doctor); 130 Ctrl-C",
            "終了コード: 0 成功、1 ワーカーがまだ正しくない、2 実行できない指定、3 マシンの問題 (cargo workbook doctor)、130 Ctrl-C"
        ))
        .help_template(template(lang))
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .subcommand_help_heading(if lang == Lang::Ja { "コマンド" } else { "Commands" })
        .arg(help(lang))
        .arg(
            Arg::new("lang")
                .long("lang")
                .global(true)
                .value_name("en|ja")
                .value_parser(LANGUAGES)
                .hide_possible_values(true)
                .help(tr!(lang, "the language, from now on; at first the locale's", "言語 (以後も使われる)。初めはロケールに従う")),
        )
        .subcommand(
            sub("doctor", tr!(lang, "look for what is wrong with this machine", "このマシンの問題を調べる")).arg(json()),
        )
        .subcommand(sub("start", tr!(lang, "write your own copy of a step, with its holes open", "ステップの自分用のコピー (穴あき) を作る")).arg(step()).arg(hole()))
        .subcommand(
            sub("check", tr!(lang, "build your copy and judge it", "自分のコピーをビルドして判定する"))
                .arg(step())
                .arg(flag("quick", tr!(lang, "only the quick checks", "短い検査だけを行う")))
                .arg(flag("long", tr!(lang, "also the checks that take minutes", "数分かかる検査も行う")))
                .arg(flag("finished", tr!(lang, "judge the finished step instead", "完成版のステップを判定する")))
                .arg(json()),
        )
        .subcommand(sub("watch", tr!(lang, "check at every save, on one screen", "保存のたびに検査し、1 画面に表示する")).arg(step()).arg(flag(
            "plain",
            tr!(lang, "line by line, for any terminal", "どの端末でも使えるように 1 行ずつ表示する"),
        )))
        .subcommand(sub("hint", tr!(lang, "a hint for what failed last; more each time", "最後に失敗した検査のヒント (実行するたびに詳しくなる)")).arg(step()))
        .subcommand(sub("next", tr!(lang, "go on to the next step", "次のステップに進む")))
        .subcommand(sub("list", tr!(lang, "the steps, and how far you are", "ステップの一覧と進み具合")).arg(json()))
        .subcommand(sub("reset", tr!(lang, "begin a step anew; your copy is kept aside", "ステップを最初からやり直す (コピーは退避する)")).arg(step()).arg(hole()))
        .subcommand(
            sub("solution", tr!(lang, "what goes in the holes", "穴の解答を表示する"))
                .arg(step())
                .arg(flag("give-up", tr!(lang, "show it although the step is not done", "ステップが終わっていなくても表示する"))),
        )
        .subcommand(sub("diff", tr!(lang, "what a step adds to the one before it", "1 つ前のステップとの違いを表示する")).arg(step()))
        .subcommand(sub("goto", tr!(lang, "catch up: finish the step before, and start this one", "前のステップを完成させ、このステップから始める")).arg(needed()).arg(hole()))
        .subcommand(
            sub("run", tr!(lang, "your worker, live, with psql", "自分のワーカーを動かし、psql で接続する"))
                .arg(step())
                .arg(flag("finished", tr!(lang, "the finished step instead", "完成版のステップを動かす"))),
        )
        .subcommand(
            sub("new", tr!(lang, "a worker extension of your own, outside of the workbook", "ワークブックの外に、自分のワーカーの拡張を作る"))
                .arg(Arg::new("name").value_name("NAME").required(true).help(tr!(
                    lang,
                    "its name, or a path that ends in it: a-z 0-9 _",
                    "名前、または名前で終わるパス。使える文字は a-z 0-9 _"
                ))),
        )
}

fn help(lang: Lang) -> Arg {
    Arg::new("help").short('h').long("help").action(ArgAction::Help).help(tr!(
        lang,
        "this text",
        "このテキストを表示する"
    ))
}

fn template(lang: Lang) -> String {
    let usage = tr!(lang, "Usage", "使い方");
    format!("{{about}}\n\n{usage}: {{usage}}\n\n{{all-args}}{{after-help}}\n")
}

/// The whole command. Its exit code is documented in its help.
pub fn main() -> ExitCode {
    let root = root();
    let (lang, chosen) = language(&root);
    let mut command = command(lang);
    if lang == Lang::Ja {
        // clap's own headings
        command = command.mut_args(|arg| arg.help_heading("オプション")).mut_subcommands(|sub| {
            sub.mut_args(|arg| {
                if arg.is_positional() { arg.help_heading("引数") } else { arg.help_heading("オプション") }
            })
        });
    }
    lang.choose();
    let names: Vec<_> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let result = match command.try_get_matches() {
        Ok(matches) => {
            if chosen {
                remember(&root, lang);
            }
            carry_out(&matches, &root, lang)
        }
        // The help, which was asked for.
        Err(error) if !error.use_stderr() => {
            print!("{}", error.render());
            Ok(())
        }
        Err(error) => Err(refused(&error, &names, lang)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.show(lang));
            error.exit_code()
        }
    }
}

fn carry_out(matches: &ArgMatches, root: &Path, lang: Lang) -> Result<()> {
    let learner = Learner::new(root, lang);
    let Some((name, arguments)) = matches.subcommand() else { return list::run(&learner?, false) };
    let step = arguments.try_get_one::<String>("step").ok().flatten().map(String::as_str);
    let hole = arguments.try_get_one::<String>("hole").ok().flatten().map(String::as_str);
    let flag = |name: &str| arguments.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false);
    if name == "doctor" {
        // It works where the rest does not.
        let well = doctor::show(&doctor::examine(root), lang, flag("json"));
        return match well {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Faults),
            Err(error) => Err(Error::Machine(error.to_string().into())),
        };
    }
    let learner = &learner?;
    match name {
        "start" => start::run(learner, step, hole),
        "check" => {
            let [quick, long, finished, json] = ["quick", "long", "finished", "json"].map(flag);
            check::run(learner, step, check::Options { quick, long, finished, json })
        }
        "watch" => watch::run(learner, step, flag("plain")),
        "hint" => hint::run(learner, step),
        "next" => next::run(learner),
        "list" => list::run(learner, flag("json")),
        "reset" => reset::run(learner, step, hole),
        "solution" => solution::run(learner, step, flag("give-up")),
        "diff" => diff::run(learner, step),
        "goto" => goto::run(learner, step.unwrap_or_default(), hole),
        "run" => run::run(learner, step, flag("finished")),
        _ => new::run(learner, arguments.get_one::<String>("name").map_or("", String::as_str)),
    }
}
