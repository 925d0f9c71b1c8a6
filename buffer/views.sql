-- What `gateway buffer sql` can ask, as views that read like a report. TEMP: the file stays as it is. Each has a line in
-- English and one in Vietnamese, and an example that the tests run. `json_of` inflates a body, `local` writes a time.

-- records: every record held, also those that were sent
-- vi: mọi bản ghi còn giữ, kể cả đã gửi
-- try: SELECT time, point, value, unit FROM records WHERE quality <> 'good' ORDER BY rid DESC LIMIT 20
CREATE TEMP VIEW records AS
SELECT
    json_extract(r.value, '$.rid')                         AS rid,
    local(json_extract(r.value, '$.t1'))                   AS time,
    json_extract(r.value, '$.t1')                          AS time_ms,
    (json_extract(r.value, '$.t1') - json_extract(r.value, '$.t0')) / 1000.0 AS window_s,
    json_extract(r.value, '$.pt')                          AS point,
    json_extract(r.value, '$.ind')                         AS indicator,
    json_extract(r.value, '$.tg')                          AS tags_json,
    json_extract(r.value, '$.v')                           AS value,
    (SELECT u.unit FROM temp.unit_of u WHERE u.point = json_extract(r.value, '$.pt')
        AND u.indicator = json_extract(r.value, '$.ind'))  AS unit,
    json_extract(r.value, '$.q')                           AS quality,
    json_extract(r.value, '$.f')                           AS reasons_json,
    json_extract(r.value, '$.n')                           AS readings,
    json_extract(r.value, '$.ne')                          AS readings_expected,
    json_extract(r.value, '$.p')                           AS parts_json,
    CASE b.lane WHEN 0 THEN 'urgent' ELSE 'telemetry' END  AS lane,
    EXISTS (SELECT 1 FROM temp.waiting_span w WHERE json_extract(r.value, '$.rid') BETWEEN w.lo AND w.hi) AS waits,
    local(b.at_ms)                                         AS stored,
    b.at_ms                                                AS stored_ms
FROM main.bundle b, json_each(json_of(b.body)) r;

-- waiting: records still to be sent
-- vi: bản ghi còn chờ gửi
-- try: SELECT point, count(*) AS records, min(time) AS oldest FROM waiting GROUP BY point ORDER BY records DESC
CREATE TEMP VIEW waiting AS
SELECT
    json_extract(r.value, '$.rid')                         AS rid,
    local(json_extract(r.value, '$.t1'))                   AS time,
    json_extract(r.value, '$.t1')                          AS time_ms,
    json_extract(r.value, '$.pt')                          AS point,
    json_extract(r.value, '$.ind')                         AS indicator,
    json_extract(r.value, '$.v')                           AS value,
    json_extract(r.value, '$.q')                           AS quality,
    CASE b.lane WHEN 0 THEN 'urgent' ELSE 'telemetry' END  AS lane,
    (strftime('%s', 'now') * 1000 - b.at_ms) / 1000        AS waits_s,
    b.at_ms                                                AS stored_ms
FROM temp.waiting_span w
JOIN main.bundle b
    ON b.lo BETWEEN coalesce((SELECT max(x.lo) FROM main.bundle x WHERE x.lo <= w.lo), w.lo) AND w.hi
    AND b.lo + b.n > w.lo
JOIN json_each(json_of(b.body)) r ON json_extract(r.value, '$.rid') BETWEEN w.lo AND w.hi;

-- latest: the newest record of each point
-- vi: bản ghi mới nhất của từng điểm đo
-- try: SELECT point, time, value, unit, quality FROM latest ORDER BY point
CREATE TEMP VIEW latest AS
SELECT point, indicator, tags_json, max(time_ms) AS time_ms, local(max(time_ms)) AS time, value, unit, quality,
    reasons_json
FROM records GROUP BY point, indicator, tags_json;

-- history: closed windows, of every length kept
-- vi: các cửa sổ đã đóng, mọi độ dài còn giữ
-- try: SELECT ends, value, unit, lowest, highest FROM history WHERE span_s = 300 AND point LIKE 'level%' LIMIT 20
CREATE TEMP VIEW history AS
SELECT
    h.span_s                                               AS span_s,
    local(json_extract(w.value, '$[1]'))                   AS begins,
    json_extract(w.value, '$[1]')                          AS begins_ms,
    local(h.t1_ms)                                         AS ends,
    h.t1_ms                                                AS ends_ms,
    json_extract(s.about, '$.pt')                          AS point,
    json_extract(s.about, '$.ind')                         AS indicator,
    json_extract(s.about, '$.tg')                          AS tags_json,
    json_extract(s.about, '$.u')                           AS unit,
    json_extract(s.about, '$.k')                           AS kind,
    json_extract(w.value, '$[2]')                          AS value,
    json_extract(w.value, '$[3]')                          AS quality,
    json_extract(w.value, '$[4]')                          AS reasons_json,
    json_extract(w.value, '$[5]')                          AS readings,
    json_extract(w.value, '$[6]')                          AS readings_expected,
    json_extract(w.value, '$[7]')                          AS total,
    json_extract(w.value, '$[8]')                          AS lowest,
    json_extract(w.value, '$[9]')                          AS highest,
    json_extract(w.value, '$[10]')                         AS first,
    json_extract(w.value, '$[11]')                         AS last
FROM history_row h, json_each(json_of(h.body)) w
JOIN signal s ON s.id = json_extract(w.value, '$[0]');

-- set_aside_records: records the far end will never take, and why
-- vi: bản ghi bị từ chối, để riêng, và lý do
-- try: SELECT reason, count(*) AS records FROM set_aside_records GROUP BY reason
CREATE TEMP VIEW set_aside_records AS
SELECT
    json_extract(r.value, '$.rid')                         AS rid,
    a.reason                                               AS reason,
    local(a.at_ms)                                         AS set_aside,
    a.at_ms                                                AS set_aside_ms,
    local(json_extract(r.value, '$.t1'))                   AS time,
    json_extract(r.value, '$.t1')                          AS time_ms,
    json_extract(r.value, '$.pt')                          AS point,
    json_extract(r.value, '$.ind')                         AS indicator,
    json_extract(r.value, '$.v')                           AS value,
    json_extract(r.value, '$.q')                           AS quality
FROM set_aside a, json_each(json_of(a.body)) r;

-- commands: what was asked of this gateway, and what came of it
-- vi: lệnh đã nhận và kết quả
-- try: SELECT claimed, operation, by_whom, state, took_ms FROM commands ORDER BY claimed_ms DESC LIMIT 20
CREATE TEMP VIEW commands AS
SELECT
    c.id                                                   AS id,
    local(c.claimed_ms)                                    AS claimed,
    c.claimed_ms                                           AS claimed_ms,
    c.state                                                AS state,
    json_at(c.request, '$.op')                             AS operation,
    json_at(c.request, '$.to')                             AS targets_json,
    json_at(c.request, '$.by')                             AS by_whom,
    json_at(c.outcome, '$.why')                            AS why,
    local(c.finished_ms)                                   AS finished,
    c.finished_ms                                          AS finished_ms,
    c.finished_ms - c.claimed_ms                           AS took_ms
FROM command c;

-- journal_entries: what was done here, newest last
-- vi: nhật ký những việc đã làm tại đây
-- try: SELECT number, time, kind, body_json FROM journal_entries ORDER BY number DESC LIMIT 20
CREATE TEMP VIEW journal_entries AS
SELECT j.seq AS number, local(j.at_ms) AS time, j.at_ms AS time_ms, j.kind AS kind, j.body AS body_json, j.hash AS hash
FROM journal j;

-- losses: records that were given up unsent, as the journal has it
-- vi: bản ghi bị bỏ khi chưa gửi, theo nhật ký
-- try: SELECT time, records, rid_lo, rid_hi, why FROM losses ORDER BY time_ms DESC
CREATE TEMP VIEW losses AS
SELECT
    local(j.at_ms)                                         AS time,
    j.at_ms                                                AS time_ms,
    json_extract(j.body, '$.n')                            AS records,
    json_extract(j.body, '$.lo')                           AS rid_lo,
    json_extract(j.body, '$.hi')                           AS rid_hi,
    json_extract(j.body, '$.why')                          AS why
FROM journal j WHERE j.kind = 'lost';

-- tally_per_day: what came, what left, what was lost and what the card took, by local day
-- vi: mỗi ngày: số bản ghi vào, ra, mất, và số byte ghi xuống thẻ nhớ
-- try: SELECT day, records_stored, records_sent, records_lost, written_mb FROM tally_per_day ORDER BY day DESC
CREATE TEMP VIEW tally_per_day AS
WITH step AS (
    SELECT
        substr(local(at_ms), 1, 10) AS day, waiting, why,
        stored - lag(stored) OVER upwards AS stored, lost - lag(lost) OVER upwards AS lost,
        waiting - lag(waiting) OVER upwards AS more, written - lag(written) OVER upwards AS written
    FROM tally WINDOW upwards AS (ORDER BY at_ms)
)
SELECT
    day,
    coalesce(sum(stored), 0)                               AS records_stored,
    coalesce(sum(stored - more - lost), 0)                 AS records_sent,
    coalesce(sum(lost), 0)                                 AS records_lost,
    max(waiting)                                           AS most_waiting,
    round(coalesce(sum(written), 0) / 1e6, 3)              AS written_mb,
    group_concat(DISTINCT nullif(why, ''))                 AS why
FROM step GROUP BY day;
