//! SQL and Redis: what statements do, whatever they are wrapped in.

use proptest::prelude::*;

use crate::kit::judged;

fn tier(words: &[&str]) -> u8 {
    judged(words).operation.native_tier().number()
}

fn check(program: &[&str], table: &[(&str, u8)]) {
    let wrong: Vec<_> = table
        .iter()
        .filter_map(|(text, expected)| {
            let words: Vec<_> = program.iter().copied().chain([*text]).collect();
            let judged = judged(&words);
            let inner = judged.within.iter().map(|one| one.native_tier().number()).max();
            let found = judged.operation.native_tier().number().max(inner.unwrap_or(0));
            let why = judged.decisive().map(|reason| reason.text.clone());
            (found != *expected).then(|| format!("{text}: T{found}, not T{expected} ({why:?})"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn statements_of_postgresql_have_their_tier() {
    check(&["psql", "-c"], POSTGRESQL);
}

#[test]
fn commands_of_psql_have_their_tier() {
    check(
        &["psql", "-c"],
        &[
            ("\\dt", 0),
            ("\\d+ orders", 0),
            ("\\l", 0),
            ("\\x on \\\\ SELECT 1", 0),
            ("\\timing \\\\ DROP TABLE t", 4),
            ("\\copy t to 'out.csv' csv", 2),
            ("\\i x.sql", 3),
            ("\\c other", 3),
            ("\\password bob", 3),
            ("\\nonsense", 3),
            ("\\!", 4),
            ("select 'drop table t' \\gexec", 4),
        ],
    );
    for text in ["\\! id", "\\copy t to program 'id'", "select 1 \\g |id", "\\o |id", "\\echo `id`"]
    {
        assert!(3 <= tier(&["psql", "-c", text]), "{text}");
    }
}

#[test]
fn statements_of_mysql_have_their_tier() {
    check(
        &["mysql", "-e"],
        &[
            ("SHOW DATABASES", 0),
            ("SELECT NOW(), VERSION()", 0),
            ("SELECT * FROM `orders` WHERE a = \"drop table t;\" LIMIT 3", 0),
            ("USE shop", 0),
            ("DESCRIBE orders", 0),
            ("EXPLAIN SELECT 1", 0),
            ("SHOW FULL PROCESSLIST\\G", 0),
            ("SELECT 1--1", 0),
            ("UPDATE t SET a=1 WHERE id=2 LIMIT 1", 2),
            ("REPLACE INTO t VALUES (1)", 2),
            ("CREATE DATABASE shop", 2),
            ("SELECT user, authentication_string FROM mysql.user", 3),
            ("KILL 17", 3),
            ("FLUSH PRIVILEGES", 3),
            ("SET GLOBAL general_log = 1", 3),
            ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE t", 3),
            ("SELECT LOAD_FILE('/etc/passwd')", 3),
            ("SELECT 1 INTO OUTFILE '/var/www/x.php'", 3),
            ("source x.sql", 3),
            ("SELECT 1 INTO DUMPFILE '/tmp/x.so'", 4),
            ("SELECT sys_exec('id')", 4),
            ("DROP DATABASE shop", 4),
            ("/*! DROP TABLE t */", 4),
            ("SELECT 1 /*!50000 INTO DUMPFILE '/x' */", 4),
            ("SELECT 'a\\'; DROP TABLE t; -- '", 0),
            ("SELECT 1 # comment\n; DROP TABLE t", 4),
            ("DELETE FROM t", 4),
            ("DELETE FROM t LIMIT 10", 4),
            ("GRANT ALL ON *.* TO 'a'@'%'", 4),
            ("SET sql_log_bin = 0", 4),
            ("INSERT INTO mysql.user VALUES (1)", 4),
            ("INSTALL PLUGIN x SONAME 'x.so'", 4),
            ("delimiter //\nDROP TABLE t//", 4),
        ],
    );
    for text in ["system id", "\\! id", "pager id", "\\P id"] {
        assert!(3 <= tier(&["mysql", "-e", text]), "{text}");
    }
}

#[test]
fn statements_of_sqlite_have_their_tier() {
    check(
        &["sqlite3", "app.db"],
        &[
            ("SELECT count(*) FROM t", 0),
            (".schema t", 0),
            ("PRAGMA integrity_check", 0),
            ("INSERT INTO t VALUES (1)", 2),
            ("PRAGMA writable_schema = 1", 3),
            ("ATTACH '/tmp/x' AS x", 3),
            ("SELECT load_extension('./x')", 4),
            ("DROP TABLE t", 4),
            (".load ./x", 4),
        ],
    );
    assert!(3 <= tier(&["sqlite3", "app.db", ".shell id"]));
}

#[test]
fn commands_of_redis_have_their_tier() {
    let table = [
        ("GET a", 0),
        ("hgetall user:1", 0),
        ("KEYS *", 0),
        ("CONFIG GET maxmemory", 0),
        ("CONFIG GET *", 3),
        ("CLUSTER INFO", 0),
        ("-n 3 INCR a", 2),
        ("RENAME a b", 2),
        ("SORT a STORE b", 2),
        ("UNLINK a", 3),
        ("MONITOR", 3),
        ("EVALSHA abc 0", 3),
        ("NEWCOMMAND a", 3),
        ("ACL LIST", 3),
        ("ACL SETUSER bob on", 4),
        ("FLUSHDB", 4),
        ("SHUTDOWN NOSAVE", 4),
        ("DEBUG SLEEP 10", 4),
        ("REPLICAOF 10.0.0.1 6379", 4),
        ("MODULE LOAD /tmp/x.so", 4),
        ("CLUSTER FAILOVER", 4),
        ("--rdb dump.rdb", 3),
        ("--insecure GET a", 4),
        ("--cluster reshard 10.0.0.1:6379", 4),
    ];
    for (line, expected) in table {
        let words: Vec<_> = ["redis-cli"].into_iter().chain(line.split(' ')).collect();
        assert_eq!(tier(&words), expected, "{line}");
    }
}

/// Statements with their tier in every client.
const SAMPLES: [(&str, u8); 7] = [
    ("select a from t", 0),
    ("insert into t values (1)", 2),
    ("delete from t where a = 1", 3),
    ("update t set a = 1", 4),
    ("drop table t", 4),
    ("truncate table t", 4),
    ("grant select on t to b", 3),
];

proptest! {
    #[test]
    fn case_comments_and_white_space_change_no_tier(
        sample in 0usize..7, upper in any::<u64>(), gaps in proptest::collection::vec(0usize..5, 12),
    ) {
        let (text, expected) = SAMPLES[sample];
        let cased: String = text
            .chars()
            .enumerate()
            .map(|(at, c)| if upper >> (at % 64) & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let gap = [" ", "\t\n ", " /* drop table x; */ ", " -- delete from x;\n", "  "];
        let mut spaced = String::new();
        for (word, at) in cased.split(' ').zip(gaps.iter().cycle()) {
            spaced.push_str(gap[*at]);
            spaced.push_str(word);
        }
        let text = format!(";; {spaced} ; select 1");
        prop_assert_eq!(tier(&["psql", "-c", &text]), expected, "{}", text);
        prop_assert_eq!(tier(&["mysql", "-e", &text]), expected, "{}", text);
        prop_assert_eq!(tier(&["sqlite3", "a.db", &text]), expected, "{}", text);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "(?i)[-a-z0-9 ();:'\"`$\\\\!/*#.,=\n|]{0,100}") {
        for program in [["psql", "-c"], ["mysql", "-e"], ["sqlite3", "a"], ["redis-cli", "-c"]] {
            let _judged = judged(&[program[0], program[1], &text]);
        }
    }
}

#[test]
fn deep_and_long_statements_are_break_glass() {
    let deep = format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let minus = format!("select {}1", "- ".repeat(5_000));
    let not = format!("select {} true", "not ".repeat(5_000));
    let long = format!("select {}1", "1 + ".repeat(12_000));
    let union = vec!["select 1"; 3_000].join(" union ");
    for text in [&deep, &minus, &not, &long] {
        assert_eq!(tier(&["psql", "-c", text]), 4);
    }
    // Whatever it comes to, it does not overflow.
    let _judged = judged(&["psql", "-c", &union]);
}

/// Statements, each with its tier.
const POSTGRESQL: &[(&str, u8)] = &[
    ("SELECT 1", 0),
    (
        "select count(*), max(created_at) from orders where total > 10 group by 1 order by 2 desc limit 5",
        0,
    ),
    ("SELECT pid, state, left(query, 80) FROM pg_stat_activity WHERE state <> 'idle'", 0),
    ("SELECT pg_size_pretty(pg_database_size(current_database()))", 0),
    ("SELECT relname, n_live_tup FROM pg_stat_user_tables ORDER BY n_live_tup DESC", 0),
    ("WITH x AS (SELECT 1) SELECT * FROM x", 0),
    ("SELECT 'DROP TABLE t; DELETE FROM t'", 0),
    ("SELECT \"delete\" FROM t", 0),
    ("SHOW max_connections; SHOW all", 0),
    ("EXPLAIN DELETE FROM t", 0),
    ("BEGIN; SELECT 1; COMMIT", 0),
    ("SET statement_timeout = '5s'; SELECT 1", 0),
    ("SELECT * FROM a JOIN b USING (id) WHERE a.x IN (SELECT x FROM c)", 0),
    ("SELECT data->>'name', tags[1] FROM t WHERE data @> '{\"a\":1}'::jsonb", 0),
    ("COPY (SELECT id FROM t) TO STDOUT WITH CSV HEADER", 0),
    ("TABLE orders", 0),
    ("SELECT my_own(1)", 2),
    ("INSERT INTO t (a) VALUES (1)", 2),
    ("INSERT INTO t SELECT * FROM u ON CONFLICT DO NOTHING", 2),
    ("UPDATE t SET a = 1 WHERE id = 2", 2),
    ("CREATE TABLE t (id int)", 2),
    ("CREATE INDEX CONCURRENTLY i ON t (a)", 2),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", 2),
    ("ALTER TABLE t ADD COLUMN a int", 2),
    ("VACUUM (VERBOSE, ANALYZE) t", 2),
    ("SELECT * INTO new FROM t", 2),
    ("COPY t FROM STDIN", 2),
    ("SELECT pg_sleep(10)", 2),
    ("DELETE FROM t WHERE id = 3", 3),
    ("EXPLAIN ANALYZE DELETE FROM t WHERE id = 3", 3),
    ("EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1", 4),
    ("SELECT * FROM pg_authid", 3),
    ("SELECT usename, passwd FROM pg_catalog.pg_shadow", 3),
    ("SELECT password_hash FROM users", 3),
    ("SELECT * FROM api_keys", 3),
    ("GRANT SELECT ON t TO app", 3),
    ("CREATE USER bob PASSWORD 'x'", 3),
    ("ALTER ROLE app SET search_path = a", 3),
    ("COPY t TO '/tmp/t.csv'", 3),
    ("SET ROLE postgres", 3),
    ("DO $$ BEGIN PERFORM 1; END $$", 3),
    ("CALL refresh_all()", 3),
    ("DROP VIEW v", 3),
    ("ALTER TABLE t DROP COLUMN a", 3),
    ("SELECT pg_terminate_backend(1)", 3),
    ("SELECT query_to_xml('drop table t', true, true, '')", 3),
    ("CREATE FUNCTION f() RETURNS int AS $$ select 1; $$ LANGUAGE sql", 3),
    ("UPDATE approvals SET state='approved'", 4),
    ("DELETE FROM t", 4),
    ("DELETE FROM t WHERE true", 4),
    ("DELETE FROM t WHERE 1=1 OR id = 2", 4),
    ("TRUNCATE t", 4),
    ("DROP TABLE IF EXISTS t", 4),
    ("DROP SCHEMA public CASCADE", 4),
    ("DROP DATABASE shop", 4),
    ("ALTER SYSTEM SET archive_command = 'id'", 4),
    ("CREATE EXTENSION plpython3u", 4),
    ("CREATE FUNCTION f(text) RETURNS int AS '/tmp/x.so', 'f' LANGUAGE c", 4),
    ("ALTER USER app SUPERUSER", 4),
    ("GRANT pg_execute_server_program TO app", 4),
    ("COPY t FROM PROGRAM 'curl http://x.example'", 4),
    ("COPY(SELECT 1)TO PROGRAM'id'", 4),
    ("SELECT pg_read_file('/etc/passwd')", 4),
    ("SELECT * FROM pg_catalog.\"pg_read_file\"('/etc/passwd')", 4),
    ("SELECT lo_export(1, '/tmp/x')", 4),
    ("SELECT dblink_exec('host=x', 'select 1')", 4),
    ("UPDATE pg_database SET datistemplate = false WHERE datname = 'a'", 4),
    ("WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM d", 3),
    ("WITH d AS (DELETE FROM t RETURNING *) SELECT count(*) FROM d", 4),
    ("SELECT 1 UNION SELECT passwd FROM pg_shadow", 3),
    ("SELECT (SELECT pg_read_file('x'))", 4),
    ("SELEC 1", 4),
    ("SELECT FROM WHERE (", 4),
    ("SELECT 'unfinished", 4),
    ("SET standard_conforming_strings = off; SELECT '\\'; DROP TABLE t; --'", 4),
    ("SELECT E'\\'; SELECT 1; --'", 0),
    ("SELECT $a$; DROP TABLE t; $a$", 0),
    ("SELECT $a$ $b$ $a$; DROP TABLE t; --$b$", 4),
    ("SELECT 1 /* /* */ ; DROP TABLE t; */", 0),
    ("SELECT 1 -- x\n; DROP TABLE t", 4),
    ("SELECT a FROM t WHERE b = :id", 4),
    ("SELECT a::int FROM t WHERE b = :'id'", 0),
];
