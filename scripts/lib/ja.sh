# shellcheck shell=bash disable=SC2034,SC2016
# スクリプトの日本語メッセージ。キーは en.sh と同じ (scripts/test が照合する)。KEY.next は KEY の後に打つコマンド、{1} は引数。
MSG=(
  [error]='エラー: {1}'
  [next]='  次の操作: {1}'
  [usage_setup]='使い方: scripts/setup [--pg '"${MAJORS// /|}"'|all|パス/pg_config] [--quiet] [--lang en|ja]'
  [usage_run]='使い方: scripts/run ステップ [--pg '"${MAJORS// /|}"'|パス/pg_config] [--lang en|ja]
        scripts/run --stop [ステップ]   このチェックアウトのサーバー (または 1 つのステップのサーバー) を停止します
        scripts/run --log [ステップ]    サーバーログを表示し続けます
ステップの一覧:
{1}'
  [usage_env]='使い方: . scripts/env ステップ [--pg '"${MAJORS// /|}"'|パス/pg_config]
ステップの一覧:
{1}'
  [no_value]='{1} に値が指定されていません'
  [unknown_option]='不明なオプションです: {1}'
  [unknown_step]='「{1}」というステップはありません。ステップの一覧:
{2}'
  [unknown_step.next]='scripts/run step1'

  [waiting_for_lock]='このワークブックの別のセットアップが実行中です。終わるのを待っています...'
  [lock_timeout]='別のセットアップが 30 分以上終わっていません (ロック: {1})'
  [lock_timeout.next]='ps ax | grep scripts/ で探して終了させ、もう一度実行してください'
  [cache_not_ours]='キャッシュ用ディレクトリ {1} に書き込めないか、別のユーザーの所有になっています'
  [cache_not_ours.next]='WORKBOOK_CACHE=/自分の/ディレクトリ scripts/setup'
  [cache_elsewhere]='キャッシュは {1} に置きます。{2} はソケットのパスとして長すぎるか、A-Z a-z 0-9 / . _ + - 以外の文字を含んでいます'

  [progress]='  {1}: {2} 秒経過'
  [progress_crates]='  {1}: {2} 秒経過、クレート {3} 個目'
  [progress_done]='  {1}: 完了 ({2} 秒)'

  [found]='確認済み {1}'
  [ready]='準備ができました。ワーカーを起動するには: scripts/run step1'
  [no_rust]='PATH に Rust コンパイラ (cargo) が見つかりません'
  [no_rust.next]='https://rustup.rs から Rust をインストールし、新しいシェルを開いてもう一度実行してください'
  [rust_fetch]='Debian のアーカイブから Rust {1} を、このワークブック専用に取得します (約 100 MB。システムには何もインストールしません)'
  [rust_download]='rustc-web のダウンロード'
  [old_rust]='Rust {1} は古すぎます。このワークブックには {2} が必要です'
  [old_rust.next]='rustup toolchain install {2}   (rustup がない場合は https://rustup.rs からインストールしてください)'
  [bad_cargo]='ここでは cargo が動作しません: {1}'
  [bad_cargo.next]='rustup toolchain install {2}'
  [disk]='空き容量が {1} GB しかありません ({2})。ビルドと PostgreSQL には {3} GB が必要です'
  [disk.next]='空き容量を増やすか、別の場所を指定してください: WORKBOOK_CACHE=/ディレクトリ CARGO_TARGET_DIR=/別のディレクトリ scripts/setup'
  [rustflags]='RUSTFLAGS が設定されていますが、このワークブックでは無視します (コマンドごとに PostgreSQL のバインディングが再ビルドされてしまうためです)。'

  [need_packages]='不足     {1}: Debian パッケージ {2} をインストールします'
  [need_sudo]='         (sudo を使います。root 権限が必要なのはシステムのパッケージだけです)'
  [apt]='apt-get install'
  [no_sudo]='システムのパッケージが不足していますが ({1})、このユーザーではインストールできません。sudo がないか、端末がないためパスワードを入力できません'
  [no_sudo.next]='root で実行: apt-get update && apt-get install --no-install-recommends {2}
        その後、もう一度実行してください'
  [no_apt]='システムのツールが不足していますが ({1})、このシステムには apt-get がありません'
  [no_apt.next]='お使いのパッケージマネージャでインストールし、もう一度実行してください:
        Fedora: dnf install gcc clang-devel python3-pip procps-ng     Arch: pacman -S gcc clang python-pip procps-ng
        (動作確認は Debian 12 と 13 でのみ行っています)'
  [apt_failed]='apt-get で {1} をインストールできませんでした。最後の出力:
{2}'
  [apt_failed.next]='ネットワークが使えない場合は復旧後にもう一度実行してください。それ以外の場合: apt-get update && apt-get install --no-install-recommends {1}'
  [packages_still_missing]='{1} が、{2} のインストール後も見つかりません'
  [packages_still_missing.next]='{3} を確認してください。libclang が別の場所にある場合: LIBCLANG_PATH=/libclangの/ディレクトリ scripts/setup'

  [need_localhost]='不足     ホスト名 localhost: /etc/hosts に追加します'
  [no_localhost]='/etc/hosts に localhost を追加できませんでした。scripts/run は動作しますが、「cargo pgrx test」は動作しません。
  次の操作: root で実行: echo 127.0.0.1 localhost >> /etc/hosts'

  [tool_other]='確認済み {1} {2}: そのまま残します。このワークブックには {3} が必要です'
  [tool_build]='不足     {1} {2}: 専用のものを {3} にビルドします'
  [tool_failed]='{1} をビルドできませんでした。{2} の最後の出力:
{3}'
  [tool_failed.next]='ネットワークが使えない場合は、復旧後にもう一度実行してください (中断したところから再開します)'

  [unknown_major]='PostgreSQL「{1}」は用意されていません。指定できるメジャーバージョン: {2}'
  [unknown_major.next]="scripts/setup --pg $EMBEDDED_MAJOR   (pg_config のパスも指定できます: --pg /パス/pg_config)"
  [pg_no_keyring]='PostgreSQL {1} は Debian のミラーから取得しますが、検証に使う鍵がありません ({2})'
  [pg_no_keyring.next]='apt-get install debian-archive-keyring の後、もう一度実行してください'
  [cluster_failed]='PostgreSQL を取得するプログラムをビルドできませんでした。{1} の最後の行:
{2}'
  [cluster_failed.next]='ネットワークが使えない場合は、戻ってから同じコマンドを実行してください'
  [pg_unusable]='{1} の PostgreSQL が動作しません: {2}'
  [pg_unusable.next]='scripts/clean の後、もう一度実行してください。手元の PostgreSQL を使う場合: scripts/setup --pg /パス/pg_config'
  [pg_copy]='不足     PostgreSQL {1} の専用コピー: {2} からコピーします (元のものは変更しません)'
  [pg_copy_unusable]='{1} の PostgreSQL のコピーが動作しません: {2}'
  [pg_copy_unusable.next]='組み込み版を使ってください: unset PG_CONFIG; scripts/setup'
  [pg_config_missing]='{1} は実行できる pg_config ではありません'
  [pg_config_missing.next]="フルパスで指定してください: scripts/setup --pg /usr/lib/postgresql/$EMBEDDED_MAJOR/bin/pg_config   (指定しなければ組み込み版の PostgreSQL を使います)"
  [pg_config_strange]='{1} は pg_config として応答しません (--version の出力: {2})'
  [pg_config_strange.next]="フルパスで指定してください: scripts/setup --pg /usr/lib/postgresql/$EMBEDDED_MAJOR/bin/pg_config   (指定しなければ組み込み版の PostgreSQL を使います)"
  [pg_too_old]="{1} は PostgreSQL {2} で、古すぎます。対象は、現在も保守されていて pgrx {3} が対応している ${MAJORS%% *} から ${MAJORS##* } です"
  [pg_too_old.next]="scripts/setup   (組み込み版の PostgreSQL $EMBEDDED_MAJOR)、または --pg でより新しいものを指定してください"
  [pg_too_new]="{1} は PostgreSQL {2} で、新しすぎます。pgrx {3} が対応しているのは ${MAJORS%% *} から ${MAJORS##* } までです"
  [pg_too_new.next]="scripts/setup   (組み込み版の PostgreSQL $EMBEDDED_MAJOR)、または --pg で ${MAJORS%% *} から ${MAJORS##* } のいずれかを指定してください"
  [pg_no_headers]='PostgreSQL {1} ({2}) にはサーバー用ヘッダファイルがないため ({3} がありません)、拡張をコンパイルできません'
  [pg_no_headers.next]='Debian の場合: sudo apt-get install --no-install-recommends postgresql-server-dev-{4}    または --pg を付けずに組み込み版の PostgreSQL を使ってください'
  [pg_no_server]='PostgreSQL {1} ({2}) にはサーバーのプログラムがありません ({3} がありません)。クライアント部分だけがインストールされています'
  [pg_no_server.next]='サーバーをインストールするか、組み込み版の PostgreSQL を使ってください: unset PG_CONFIG; scripts/setup'
  [root_cannot_drop]='PostgreSQL は root では起動できませんが、この環境では root から別のユーザーに切り替えられません (setpriv: {1})'
  [root_cannot_drop.next]='一般ユーザーで作業してください:
        adduser --disabled-password --gecos "" reader
        cp -r {2} /home/reader/ && chown -R reader: /home/reader/{3}
        su - reader -c "cd {3} && scripts/run step1"'
  [as_root]='         root で実行中: サーバーはユーザー「{1}」として動作します'
  [initdb_failed]='initdb でデータベースクラスタ {1} を作成できませんでした:
{2}'
  [initdb_failed.next]='scripts/clean の後、もう一度実行してください'
  [not_set_up]='PostgreSQL または cargo-pgrx のセットアップがまだ済んでいません'
  [not_set_up.next]='scripts/setup を実行した後、もう一度実行してください'
  [port_taken]='ポート {1} は別のプログラムが使っています。今後 {2} はポート {3} を使います。'
  [no_port]='{1} から {2} の間に空いているポートがありません'
  [no_port.next]='使っているプログラムを確認してください: ss -ltn'
  [env_ready]='{1}: PGRX_HOME は {2}、PostgreSQL {3}、ポート {4} です。次の操作: cd {5} && cargo pgrx run pg{6} postgres'
  [env_not_installed]='  サーバーが事前ロードする {1} はまだインストールされていません。「cargo pgrx run」ならインストールも行いますが、「cargo pgrx start」だけでは起動に失敗します。'
  [preload_overridden]='ALTER SYSTEM で shared_preload_libraries に {1} が設定されていたため、取り除きました。このデータベースクラスタは {2} を事前ロードします。'

  [build_command]='workbook コマンドをビルドします (初回は 20 秒ほどかかります)'
  [stopped]='停止     {1} のサーバー'
  [nothing_runs]='このチェックアウトで動作中のサーバーはありません。'
  [stop_failed]='{1} のサーバーを停止できません'
  [stop_failed.next]='ログを確認してください: scripts/run --log {1}'
  [no_log]='{1} のログはまだありません'
  [no_log.next]='scripts/run {1}'
  [which_log]='複数のサーバーのログがあります。ステップを指定してください: {1}'
  [which_log.next]='scripts/run --log step1'

  [removed]='削除     {1} ({2})'
  [nothing_to_clean]='削除するものはありません。'
  [clean_usage]='使い方: scripts/clean [--all] [--lang en|ja]
  スクリプトがこのチェックアウトの外に作ったもの (サーバー、データベース、専用の PostgreSQL) を削除します。
  --all  すべてのチェックアウトで共有しているツールとダウンロードも削除します'
  [kept_tools]='保持     すべてのチェックアウトで共有しているツールとダウンロード ({1})。削除するには: scripts/clean --all'
  [no_book]='このチェックアウトには book/ がありません'
  [serve_usage]='使い方: scripts/serve [--open] [--port N] [--lang en|ja]
        scripts/serve --lan [--port N]   会場のすべてのコンピュータに、本とオフラインパックを配布します'

  [book_tool]='不足     {1}: 本の検査と PDF の作成に必要なものを取得します'
  [book_tool_failed]='{1} をインストールできませんでした。{2} の最後の出力:
{3}'
  [book_tool_failed.next]='ネットワークが使えない場合は、復旧後にもう一度実行してください'

  [usage_offline]='使い方: scripts/offline-pack [--to ディレクトリ] [--debian ミラー] [--ubuntu ミラー] [--no-rootfs] [--lang en|ja]
  ネットワークのない会場で必要なものを target/offline に作ります。Debian 12 のノート PC 用のアーカイブと、WSL とコンテナ用のルートファイルシステムです
  --to      target/offline 以外の場所に作ります
  --debian  Debian 12 を取得するミラー。省略すると、このマシンが使っているもの
  --ubuntu  Ubuntu 24.04 のパッケージも、このミラーから取得して入れます'
  [offline_root]='専用のディレクトリに Debian を作るには root 権限が必要です'
  [offline_root.next]='sudo env "PATH=$PATH" "HOME=$HOME" scripts/offline-pack'
  [offline_no_mirror]='このマシンの apt には、Debian 12 のミラーが設定されていません'
  [offline_no_mirror.next]='scripts/offline-pack --debian ミラー   (Debian のミラーのアドレス)'
  [offline_room]='{1} の空き容量が {2} GB 未満です'
  [offline_room.next]='TMPDIR=/空きのある/ディレクトリ scripts/offline-pack'
  [offline_packages]='{1} のパッケージ'
  [offline_debian]='専用の Debian 12'
  [offline_copy]='ツールチェーン、クレート、PostgreSQL、ツール'
  [offline_build]='その中でのセットアップとビルド'
  [offline_pack]='アーカイブの作成'
  [offline_rootfs]='ルートファイルシステムの作成'
  [offline_failed]='オフラインパックを作れませんでした。{1} の最後の出力:
{2}'
  [offline_failed.next]='ネットワークが使えない場合は復旧後にもう一度実行してください'
  [offline_uncommitted]='パックに入るのは最後のコミットです。コミットしていない変更は入りません。'
  [offline_size]='{1} MB  {2}'
  [offline_unpacked]='ノート PC には {1} MB のディスク容量が必要です。'
  [offline_done]='完了しました ({1} 分)。会場で配布するには: scripts/serve --lan'
  [usage_install]='使い方: ./install [--to ディレクトリ] [--lang en|ja]
  --to  /opt/bgworkbook 以外の場所に展開します。その場合、依存するクレートは最初のビルドでコンパイルされます'
  [pack_architecture]='このパックは {1} 用ですが、このマシンは {2} です'
  [pack_architecture.next]='{2} 用のパックか、コンテナイメージを使ってください'
  [pack_installed]='ワークブックはすでに {1} にあります'
  [pack_installed.next]='. {1}/bgworkbook.env; cd {1}/workbook    (自分の作業をすべて捨てて最初からやり直す場合: rm -rf {1})'
  [pack_checking]='チェックサムを照合しています...'
  [pack_damaged]='{1} のパックは壊れています。SHA256SUMS と一致しないファイルがあります'
  [pack_damaged.next]='もう一度取得し、チェックサムを確かめてから展開し直してください'
  [pack_room]='{2} の空き容量が {1} GB しかありません。{3} GB 必要です'
  [pack_room.next]='空き容量を増やすか、別の場所を指定してください: ./install --to /ディレクトリ'
  [pack_no_sudo]='パッケージのインストールが必要ですが、sudo がないため、このユーザーではインストールできません'
  [pack_no_sudo.next]='root で実行: ./install'
  [pack_system]='このシステムは「{1}」ですが、パックにあるパッケージは次のシステム用です: {2}'
  [pack_system.next]='次のものをお使いのパッケージマネージャでインストールし、もう一度実行してください: {3}'
  [pack_apt]='パッケージ {1} をインストールできませんでした。{2} の最後の出力:
{3}'
  [pack_apt.next]='システムがパックより新しい場合は、一度だけネットワークを使ってください: apt-get install {1}。それ以外の場合はコンテナイメージを使ってください'
  [pack_unpacking]='{1} に展開しています...'
  [pack_done]='完了しました ({1} 秒)。新しい端末を開いたら、最初に次の行を実行してください:
  . {2} && cd {3}
その後: scripts/run step1'
  [usage_ready]='使い方: scripts/ready [--lang en|ja]
  このマシンをワークショップで使えるように準備し、準備が済んだかどうかを、最後の行と終了コード 0 で示します'
  [ready_part]='== {1}/{2} {3}'
  [ready_setup]='不足しているものを準備します'
  [ready_doctor]='マシンを調べます (初回はコマンドのコンパイルに 1 分ほどかかります)'
  [ready_worker]='ワーカーをビルドし、実際のサーバーで判定します (初回は 2 分ほどかかります)'
  [ready_book]='本をビルドします (初回は mdBook のコンパイルに 2 分ほどかかります)'
  [ready_book_failed]='本をビルドできませんでした。{1} の最後の出力:
{2}'
  [ready_book_failed.next]='scripts/serve'
  [is_ready]='準備完了。ワークショップに参加できます。'
  [not_ready]='まだワークショップの準備ができていません。上の指示に従ってから、もう一度実行してください: scripts/ready'

  # ---- 配布用の PDF
  [handout_usage]='使い方: scripts/handout [ja|en|all] [--paper a4|letter] [--solutions]
本の PDF を target/handout に作ります。ワークブック、早見表、救急カードの 3 つです。
言語を省くと、メッセージの言語で作ります。--solutions を付けると、ワークブックに解答も入ります。'
)
