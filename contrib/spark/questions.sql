-- The worst listeners by day
select date(start) as day, server, count(*) as attempts,
       count_if(verdict not in ('completed', 'undetermined')) as problems, mode(cause) as cause
from attempts
group by day, server having problems > 0
order by day, problems desc;

-- Late connects by hour, and what their retries cost
select date_trunc('hour', start) as hour, count_if(verdict = 'completed-late') as late,
       round(count_if(verdict = 'completed-late') / count(*), 4) as share,
       round(percentile(timing_delay_ns, 0.99) / 1e9, 3) as delay_p99
from attempts
group by hour order by hour;

-- Clients affected, by cause
select cause, count(distinct client_ip) as clients, count(*) as attempts
from attempts where cause is not null
group by cause order by clients desc;

-- Trouble that several points had in the same minute
select date_trunc('minute', `from`) as minute, cause, collect_set(point) as points, sum(attempts) as attempts
from episodes
group by minute, cause having count(distinct point) > 1
order by minute;
