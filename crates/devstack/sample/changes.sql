-- A believable working day in the sample company, played between two syncs. Each step is one statement under a
-- line "-- step: TABLE KIND: what happened". Steps see the number of the day as
-- (select last_value from company.working_day), so every day touches other rows and uses fresh keys.

-- step: projects update: project leads reported progress
update company.projects set progress_percent = least(progress_percent + 5, 100)
where code in (
    select code from company.projects where status = 'running' and progress_percent < 100
    order by md5(code || (select last_value from company.working_day)) limit 12);

-- step: projects update: a project was put on hold
update company.projects set status = 'on hold'
where code = (
    select code from company.projects where status = 'running'
    order by md5('hold' || code || (select last_value from company.working_day)) limit 1);

-- step: projects update: a description was rewritten
update company.projects
set description = E'Rewritten after the steering meeting.\n\n• scope: line 1 only\n• "phase 2" moved out\n• risk: supplier <single source> ⚠️'
        || E'\nMeeting no. ' || (select last_value from company.working_day)
where code = (
    select code from company.projects
    order by md5('text' || code || (select last_value from company.working_day)) limit 1);

-- step: projects insert: two new ideas were registered
insert into company.projects (code, name, description, status, budget, starts_on)
select 'PRJ-' || to_char(last_code + n, 'FM00000'),
       (array['Heat recovery, hall 2 ♻️', 'Zweite Spätschicht'])[n],
       (array['Use the waste heat of the compressors.', null])[n],
       'idea',
       (array[12500.50, null])[n],
       null
from generate_series(1, 2) as n,
     (select max(substr(code, 5)::integer) as last_code from company.projects) as present;

-- step: contracts update: contracts were signed
update company.contracts set status = 'signed', signed_on = valid_from
where (project_code, number) in (
    select project_code, number from company.contracts where status = 'in negotiation'
    order by md5(project_code || number || (select last_value from company.working_day)) limit 6);

-- step: contracts update: prices were adjusted
update company.contracts set value = round(value * 1.025, 2)
where (project_code, number) in (
    select project_code, number from company.contracts where status = 'signed' and value between 1 and 1000000
    order by md5('price' || project_code || number || (select last_value from company.working_day)) limit 3);

-- step: contracts insert: four contracts were drafted
insert into company.contracts (project_code, number, counterparty, subject, value, currency, status, valid_from, remarks)
select project_code, number + 1, 'Brücke & Partner mbB', 'Consulting', 4800.00, 'EUR', 'draft', date '2026-03-01',
       'Draft, "not binding".'
from (
    select project_code, max(number) as number from company.contracts group by project_code
    order by md5('draft' || project_code || (select last_value from company.working_day)) limit 4) as chosen;

-- step: contracts delete: two drafts were withdrawn
delete from company.contracts
where (project_code, number) in (
    select project_code, number from company.contracts where status = 'draft' and number <= 3
    order by md5('withdrawn' || project_code || number || (select last_value from company.working_day)) limit 2);

-- step: people update: people moved to another office
update company.people set office = 'Genève'
where id in (
    select id from company.people where active and office is distinct from 'Genève'
    order by md5(id::text || (select last_value from company.working_day)) limit 4);

-- step: people update: a promotion
update company.people set job_title = 'Head of department', weekly_hours = 40
where id = (
    select id from company.people where active and job_title is distinct from 'Head of department'
    order by md5('promoted' || id::text || (select last_value from company.working_day)) limit 1);

-- step: people insert: three people started
insert into company.people (id, full_name, email, job_title, department, office, hired_on, weekly_hours)
select md5('newcomer ' || day || ' ' || n)::uuid,
       (array['Aoife Ní Bhriain', '陳 怡君', 'Jörg Schröder-Łęcki'])[n],
       'new' || day || '-' || n || '@company.example',
       'Trainee', 'Production', (array['Köln', '東京', null])[n], date '2026-02-02', 35
from generate_series(1, 3) as n, (select last_value as day from company.working_day) as today;

-- step: people delete: records of two former colleagues were erased
delete from company.people
where id in (
    select p.id from company.people as p
    where not p.active
      and not exists (select from company.people as q where q.manager_id = p.id)
      and not exists (select from company.projects as q where q.lead_id = p.id)
      and not exists (select from company.tasks as q where q.assignee_id = p.id)
    order by p.left_on, p.id limit 2);

-- step: tasks update: tasks were done
update company.tasks set state = 'done', done_at = timestamptz '2026-02-02 08:00:00+00' + id % 480 * interval '1 minute', blocked = false
where id in (
    select id from company.tasks where state in ('open', 'in progress')
    order by md5(id::text || (select last_value from company.working_day)) limit 40);

-- step: tasks update: tasks became urgent
update company.tasks set priority = 1
where id in (
    select id from company.tasks where state = 'waiting' and priority > 1
    order by md5('urgent' || id || (select last_value from company.working_day)) limit 15);

-- step: tasks update: five due dates were dropped
update company.tasks set due_at = null
where id in (
    select id from company.tasks where state = 'waiting' and due_at is not null
    order by md5('due' || id || (select last_value from company.working_day)) limit 5);

-- step: tasks insert: twenty-five tasks were opened
insert into company.tasks (project_code, title, details, priority, due_at)
select code, 'Follow up: ' || name || ' 📌',
       E'From the weekly meeting.\n- who: to be named\n- how: "as last time"', 2,
       timestamptz '2026-02-28 12:00:00+00'
from company.projects where status = 'running'
order by md5('follow' || code || (select last_value from company.working_day)) limit 25;

-- step: tasks delete: five dropped tasks were removed
delete from company.tasks
where id in (
    select id from company.tasks where state = 'dropped'
    order by md5('removed' || id || (select last_value from company.working_day)) limit 5);
