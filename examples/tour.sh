#!/usr/bin/env bash
# The main job in one script: a user that lives in a directory and in a database at once is created, changed, renamed
# and removed; one subscriber is told of the change of his badge, and of nothing else.
#
#   examples/tour.sh                    everything embedded
#   examples/tour.sh --config FILE      with the backends of a configuration file; for OpenLDAP and PostgreSQL set
#                                       TOUR_LDAP_URI, TOUR_LDAP_BINDDN, TOUR_LDAP_PASSWORD and TOUR_DATABASE as well,
#                                       and the tour shows the entry by ldapsearch and the rows by psql
#   TOUR_PYTHON=/usr/bin/python3 ...    all over AMQP: the commands, and the subscriber, who is a Python program then
#                                       (package python3-qpid-proton)
#
# CLACKS names the program; the default is bin/clacks of the checkout.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
clacks=${CLACKS:-$here/../bin/clacks}
work=$(mktemp -d)
service=
watcher=
finish() {
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
  [ -z "$service" ] || { kill "$service" 2>/dev/null && wait "$service" 2>/dev/null; } || true
  rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }
die() {
  printf 'tour: %s\n' "$*" >&2
  sed 's/^/tour: service: /' "$work/service.log" >&2 || true
  exit 1
}

say "Start the service with the employees example"
: >"$work/service.out"
"$clacks" serve "$@" --data "$work/data" --http 127.0.0.1:0 --amqp 127.0.0.1:0 \
  --definitions "$here/employees" --sql-schema "$here/employees/schema.sql" \
  >"$work/service.out" 2>"$work/service.log" &
service=$!
for _ in $(seq 200); do
  url=$(sed -n 's/^listening on //p' "$work/service.out")
  [ -n "$url" ] && break
  kill -0 "$service" 2>/dev/null || die "the service ended"
  sleep 0.1
done
[ -n "$url" ] || die "the service did not start"
[ -z "${TOUR_PYTHON:-}" ] || url=$(sed -n 's/^AMQP on //p' "$work/service.out")
export CLACKS_URL=$url CLACKS_USER=admin
[ -n "${CLACKS_ADMIN_PASSWORD:-}" ] && export CLACKS_PASSWORD=$CLACKS_ADMIN_PASSWORD
[ -n "${CLACKS_PASSWORD:-}" ] || export CLACKS_PASSWORD_FILE=$work/data/admin-password
call() { "$clacks" call --wait 60s "$@"; }
base=$(call --field . getBase)
echo "$url serves $base"

say "Subscribe to changes of badge numbers"
query='Event/ObjectChanged[ChangeType = "update"]/Attributes/Attribute[@name = "badgeNumber"]'
if [ -n "${TOUR_PYTHON:-}" ]; then
  "$TOUR_PYTHON" "$here/watch/watch.py" --url "$url" --from 0 --count 1 --xquery "$query" >"$work/event.xml" &
else
  "$clacks" events watch --from 0 --count 1 --xquery "$query" >"$work/event.xml" &
fi
watcher=$!

say "Create a place for people and one for groups, two users and a group of them"
people=$(call --field dn createObject type=PeopleContainer base="$base")
groups=$(call --field dn createObject type=GroupContainer base="$base")
call createObject type=User base="$people" attributes:='{
  "uid": "ada", "cn": "Ada Byron", "givenName": "Ada", "sn": "Byron", "mail": ["ada@example.net"],
  "badgeNumber": "B-1815", "costCenter": 4711, "phones": ["+44 20 1815", "+44 20 1852"]}'
ada=$(call --field objects.0.dn searchObjects type=User filter:='{"uid":"ada"}')
charles=$(call --field dn createObject type=User base="$people" attributes:='{
  "uid": "charles", "cn": "Charles Babbage", "givenName": "Charles", "sn": "Babbage", "badgeNumber": "B-1791"}')
group=$(call --field dn createObject type=GroupOfNames base="$groups" \
  attributes:="{\"cn\": \"engine\", \"member\": [\"$ada\", \"$charles\"]}")

say "Preview, then change the name and the badge in one commit"
changes='{"sn": "Lovelace", "badgeNumber": "B-1843"}'
call updateObject id="$ada" changes:="$changes" dryRun:=true
call updateObject id="$ada" changes:="$changes"

show() {
  call getObject id="$1"
  if [ -n "${TOUR_LDAP_URI:-}" ]; then
    say "The entry in the directory"
    ldapsearch -LLL -o ldif-wrap=no -H "$TOUR_LDAP_URI" -D "$TOUR_LDAP_BINDDN" -w "$TOUR_LDAP_PASSWORD" \
      -b "$1" -s base uid cn sn displayName
  fi
  if [ -n "${TOUR_DATABASE:-}" ]; then
    say "The rows in the database"
    psql -X "$TOUR_DATABASE" -c 'SELECT * FROM employees ORDER BY login' -c 'SELECT * FROM phones ORDER BY number'
  fi
}
say "One object"
show "$ada"

say "The event"
wait "$watcher"
watcher=
cat "$work/event.xml"
grep -q '<Actor>admin</Actor>' "$work/event.xml" || die "the event does not name the actor"
grep -q '<Old>B-1815</Old>' "$work/event.xml" || die "the event does not have the old badge"
grep -q '<New>B-1843</New>' "$work/event.xml" || die "the event does not have the new badge"
[ "$(grep -c '<ObjectChanged' "$work/event.xml")" = 1 ] || die "not exactly one event"

say "Rename her; the group follows"
renamed=$(call --field dn moveObject id="$ada" rdn="cn=Ada Lovelace")
echo "$renamed"
call getObject id="$group" attributes:='["member"]'
call --field attributes.member getObject id="$group" | grep -qF "$renamed" || die "the group did not follow"

say "Remove her; nothing is left behind"
call deleteObject id="$renamed"
call --field attributes.member getObject id="$group" | grep -qF "$renamed" && die "the group still names her"
[ "$(call --field total searchObjects type=User filter:='{"uid":"ada"}' total:=true)" = 0 ] || die "she is still found"
if [ -n "${TOUR_LDAP_URI:-}" ]; then
  left=$(ldapsearch -LLL -H "$TOUR_LDAP_URI" -D "$TOUR_LDAP_BINDDN" -w "$TOUR_LDAP_PASSWORD" -b "$base" '(uid=ada)' dn)
  [ -z "$left" ] || die "her entry is still in the directory: $left"
fi
if [ -n "${TOUR_DATABASE:-}" ]; then
  left=$(psql -X -At "$TOUR_DATABASE" -c "SELECT (SELECT count(*) FROM employees WHERE login = 'ada')
    + (SELECT count(*) FROM phones WHERE employee = 'ada')")
  [ "$left" = 0 ] || die "her rows are still in the database"
fi

say "Stop"
kill "$service"
wait "$service" || die "the service did not stop cleanly"
service=
echo "done"
