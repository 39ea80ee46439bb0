/*
 * The commit and take-over protocol of one partition of one processor. README.md says what is
 * modelled, what is not, and how to run it; runtime/worker.cc, runtime/restorer.cc and
 * connectors/kafka/transactional_producer.cc are what it is a model of.
 *
 * Sizes, all by -D: INSTANCES, INPUTS, FAULTS (how many faults a run may have, of whatever kind).
 * DEAD_COME_BACK: nobody who is killed stays away for good. THE_GONE_MAY_LEAVE_OUTPUT: the one
 * counterexample that is known (README.md) is none. Safeguards are taken out one by one with -DNO_..., see check.sh.
 */

#ifndef INSTANCES
#define INSTANCES 2
#endif
#ifndef INPUTS
#define INPUTS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef REVOCATIONS
#define REVOCATIONS 0 /* that cost no fault */
#endif
#define WINDOW 6 /* changelog entries that are not settled, or lie behind one that is not */

#define TIMER INPUTS       /* the item that moves no offset */
#define ITEMS (INPUTS + 1) /* inputs and one timer, which is due after the first input */
#define NOBODY 0           /* else: instance + 1 */

/* ---- where an instance stands */
#define DOWN 0       /* killed */
#define START 1      /* opens its producer, then joins */
#define IDLE 2       /* a member without the partition */
#define RESTORE 3    /* reads the changelog, fences, ... */
#define AGREE 4      /* ... has all of it, compares its commit record with the group's offsets */
#define UNCLAIMED 5  /* restored */
#define WORK 6       /* owner, no transaction open */
#define BUILD 7      /* a transaction is open: records and offsets are under way */
#define WAIT 8       /* EndTxn sent, no answer */
#define KEEP 9       /* committed; overlay and position not yet in the local store */
#define REPLACE 10   /* the producer, since a repeated EndTxn may be on its way */
#define UNKNOWN 11   /* no answer in time */
#define FENCED 12    /* told so; the producer is gone */
#define DROP 13      /* the partition is given up */
#define CHECK 14     /* equal: looks at the changelog again */

/* ---- transactions at their coordinator */
#define NONE 0
#define OPEN 1
#define COMMITTING 2
#define ABORTING 3

/* ---- what a transaction is for; what it writes into the changelog */
#define DO_WORK 0
#define DO_CLAIM 1
#define DO_RELEASE 2

/* ---- an entry of the changelog; also settled as */
#define COMMITTED 2
#define ABORTED 3

/* ---- membership */
#define OUT 0
#define IN 1
#define JOINING 2 /* the group waits for its dead member's session to end */

/* The group coordinator. */
byte owner = NOBODY;
bit revoking;        /* the owner has been asked to give the partition up */
byte group_offset;
byte member[INSTANCES];
bit given[INSTANCES];  /* assigned, and the member has not yet heard of it */
bit dead[INSTANCES];   /* killed, and the group still counts it in */

/* The transaction coordinator, per transactional id (there is one per instance). Epochs matter only
   as equal or not: is the producer in the instance's hand the current one? Is the EndTxn that is
   still under way of the current epoch? */
bit current[INSTANCES];
bit late_end[INSTANCES];
byte transaction[INSTANCES];
bit in_changelog[INSTANCES]; /* the transaction has an entry that is not settled */
bit in_group[INSTANCES];     /* ... has pending offsets */
byte pending_offset[INSTANCES];
byte output[INSTANCES];      /* ... has the output of this item - 1 */

/* The changelog: a base (what lies before the first unsettled entry, compacted), then entries. */
byte base_position, base_timer, base_value, base_claim;
byte entry_kind[WINDOW], entry_id[WINDOW], entry_position[WINDOW], entry_timer[WINDOW];
byte entry_value[WINDOW], entry_state[WINDOW];
byte entries;

/* The local store of each instance. An offset: 0 before the base, 1 at its end, 1 + n after the
   n-th entry. */
byte store_offset[INSTANCES], store_position[INSTANCES], store_timer[INSTANCES];
byte store_value[INSTANCES], store_claim[INSTANCES];
bit file[INSTANCES]; /* names the member of the present generation as the partition's owner */

/* An instance's memory. */
byte at[INSTANCES];
bit former[INSTANCES];  /* goes on in the name of its dead member */
byte purpose[INSTANCES], item[INSTANCES];
bit to_output[INSTANCES], to_changelog[INSTANCES], to_offsets[INSTANCES];
byte own_end[INSTANCES];     /* offset after its own entry */
bit replace_after[INSTANCES];
bit second_try[INSTANCES];   /* of a release */
bit aimed[INSTANCES];
byte aim[INSTANCES];         /* high watermark, when it was asked for */
byte fenced_ids[INSTANCES];  /* since the restore was requested; bit by bit */

bit gone[INSTANCES]; /* it does not come back */

byte faults = FAULTS;
byte revocations = REVOCATIONS;

/* What has been decided, for the assertions alone. */
byte decided_position, decided_timer;
byte outputs_of[ITEMS];

byte j, k; /* within one atomic step only */

/* ---- the changelog ------------------------------------------------------------------------- */

inline move_back(offset, with_base) {
  if
  :: offset > 1 -> offset = offset - 1
  :: offset == 1 && with_base -> offset = 0
  :: else
  fi
}

inline erase(i) {
  store_offset[i] = 0; store_position[i] = 0; store_timer[i] = 0; store_value[i] = 0;
  store_claim[i] = NOBODY
}

inline erase_if_behind(i) {
  if
  :: store_offset[i] == 0 -> erase(i)
  :: else
  fi
}

/* What is settled at the front becomes part of the base, as compaction has it. */
inline fold() {
  do
  :: entries > 0 && entry_state[0] != OPEN ->
     if
     :: entry_state[0] == COMMITTED && entry_kind[0] == DO_RELEASE -> base_claim = NOBODY
     :: entry_state[0] == COMMITTED && entry_kind[0] != DO_RELEASE ->
        base_position = entry_position[0];
        base_timer = entry_timer[0];
        base_value = entry_value[0];
        if
        :: entry_kind[0] == DO_CLAIM -> base_claim = entry_id[0] + 1
        :: else
        fi
     :: else
     fi;
     j = 0;
     do
     :: j < INSTANCES ->
        move_back(store_offset[j], entry_state[0] == COMMITTED);
        move_back(own_end[j], entry_state[0] == COMMITTED);
        move_back(aim[j], entry_state[0] == COMMITTED);
        if
        :: store_offset[j] == 0 && at[j] <= RESTORE -> erase(j) /* to be read anew in any case */
        :: else
        fi;
        j++
     :: else -> break
     od;
     j = 1;
     do
     :: j < WINDOW ->
        entry_kind[j - 1] = entry_kind[j];
        entry_id[j - 1] = entry_id[j];
        entry_position[j - 1] = entry_position[j];
        entry_timer[j - 1] = entry_timer[j];
        entry_value[j - 1] = entry_value[j];
        entry_state[j - 1] = entry_state[j];
        j++
     :: else -> break
     od;
     entries--;
     entry_kind[entries] = 0; entry_id[entries] = 0; entry_position[entries] = 0;
     entry_timer[entries] = 0; entry_value[entries] = 0; entry_state[entries] = 0
  :: else -> break
  od;
  j = 0
}

/* After fold() the first entry, if there is one, is open: the base ends where it is stable. */
#define HIGH (1 + entries)
#define STABLE 1

inline append(i) {
  assert(entries < WINDOW); /* nobody works on and on behind a transaction that stays open */
  entry_kind[entries] = purpose[i];
  entry_id[entries] = i;
  entry_position[entries] =
      store_position[i] + (purpose[i] == DO_WORK && item[i] != TIMER -> 1 : 0);
  entry_timer[entries] = store_timer[i] + (purpose[i] == DO_WORK && item[i] == TIMER -> 1 : 0);
  entry_value[entries] = store_value[i] + (purpose[i] == DO_WORK -> 1 : 0);
  entry_state[entries] = OPEN;
  entries++;
  own_end[i] = 1 + entries;
  in_changelog[i] = 1
}

/* ---- the transaction coordinator ----------------------------------------------------------- */

inline done_if_settled(id) {
  if
  :: !in_changelog[id] && !in_group[id] -> transaction[id] = NONE; output[id] = 0
  :: else
  fi
}

/* The moment at which a transaction takes effect. Here is what must never happen. */
inline decide_commit(id) {
  if
  :: output[id] > 0 ->
     outputs_of[output[id] - 1]++;
     assert(outputs_of[output[id] - 1] == 1) /* one effect of each input and timer */
  :: else
  fi;
  k = 0;
  do
  :: in_changelog[id] && k < entries && entry_state[k] == OPEN && entry_id[k] == id &&
     entry_kind[k] != DO_RELEASE ->
     assert(entry_value[k] == entry_position[k] + entry_timer[k]); /* the fold of what was done */
     if
     :: entry_kind[k] == DO_WORK ->
        /* one owner's work follows upon the other's */
        assert(entry_position[k] + entry_timer[k] == decided_position + decided_timer + 1);
        decided_position = entry_position[k];
        decided_timer = entry_timer[k]
     :: else ->
        assert(entry_position[k] == decided_position && entry_timer[k] == decided_timer)
     fi;
     k++
  :: in_changelog[id] && k < entries &&
     !(entry_state[k] == OPEN && entry_id[k] == id && entry_kind[k] != DO_RELEASE) -> k++
  :: else -> break
  od;
  k = 0;
  if
  :: in_group[id] -> assert(pending_offset[id] == decided_position)
  :: else
  fi;
  transaction[id] = COMMITTING;
  output[id] = 0;
  done_if_settled(id)
}

inline decide_abort(id) {
  if
  :: transaction[id] == OPEN -> transaction[id] = ABORTING; output[id] = 0; done_if_settled(id)
  :: else
  fi
}

inline mark_changelog(id) {
  k = 0;
  do
  :: k < entries && entry_id[k] == id && entry_state[k] == OPEN ->
     entry_state[k] = (transaction[id] == COMMITTING -> COMMITTED : ABORTED);
     k++
  :: k < entries && !(entry_id[k] == id && entry_state[k] == OPEN) -> k++
  :: else -> break
  od;
  k = 0;
  in_changelog[id] = 0;
  fold();
  done_if_settled(id)
}

inline mark_group(id) {
  if
  :: transaction[id] == COMMITTING -> group_offset = pending_offset[id]
  :: else
  fi;
  in_group[id] = 0;
  pending_offset[id] = 0;
  done_if_settled(id)
}

/* InitProducerId: settles what is there, then raises the epoch. */
inline initialise(id, by_owner) {
  decide_abort(id);
  if
  :: in_changelog[id] -> mark_changelog(id)
  :: else
  fi;
  if
  :: in_group[id] -> mark_group(id)
  :: else
  fi;
  current[id] = by_owner;
  late_end[id] = 0
}

/* ---- the group coordinator ----------------------------------------------------------------- */

/* Every generation makes what a file says of the last one worthless. */
inline next_generation() {
  j = 0;
  do
  :: j < INSTANCES -> file[j] = 0; j++
  :: else -> break
  od;
  j = 0
}

inline give_up(i) {
  if
  :: owner == i + 1 && member[i] == IN -> owner = NOBODY; revoking = 0; next_generation()
  :: else
  fi
}

/* ---- an instance --------------------------------------------------------------------------- */

inline forget_transaction(i) {
  to_output[i] = 0; to_changelog[i] = 0; to_offsets[i] = 0;
  purpose[i] = 0; item[i] = 0; own_end[i] = 0;
  replace_after[i] = 0; second_try[i] = 0
}

inline forget_restore(i) {
  aimed[i] = 0; aim[i] = 0; fenced_ids[i] = 0
}

inline begin(i, what) {
  forget_restore(i);
  purpose[i] = what;
  to_changelog[i] = 1;
  at[i] = BUILD
}

/* Its offsets are unchanged: the group checks that the partition is still its own. */
inline begin_release(i) {
  begin(i, DO_RELEASE);
#ifndef NO_OFFSETS_WITH_RELEASE
  to_offsets[i] = 1
#endif
}

inline restore_again(i) {
  forget_transaction(i);
  forget_restore(i);
  erase_if_behind(i);
  at[i] = RESTORE
}

/* Back to where the transaction was begun; nothing of it took effect. */
inline rolled_back(i) {
  if
  :: purpose[i] == DO_CLAIM -> forget_transaction(i); at[i] = UNCLAIMED
  :: purpose[i] == DO_WORK -> forget_transaction(i); at[i] = WORK
  :: purpose[i] == DO_RELEASE && !second_try[i] ->
     forget_transaction(i); begin_release(i); second_try[i] = 1
  :: else -> forget_transaction(i); at[i] = DROP
  fi
}

inline end_former(i) {
  former[i] = 0;
  initialise(i, 1);
  forget_transaction(i);
  at[i] = IDLE;
  erase_if_behind(i)
}

/* What the broker checks of offsets in a transaction: member and generation. */
#ifdef NO_GENERATION_CHECK
#define ACCEPTED(i) 1
#else
#define ACCEPTED(i) (former[i] -> (dead[i] && file[i]) : member[i] == IN)
#endif

#define UNSTABLE_OF(id) in_group[id]
#if INSTANCES == 2
#define UNSTABLE (in_group[0] || in_group[1])
#define ANY_DEAD (dead[0] || dead[1])
#define ANY_GONE (gone[0] || gone[1])
#else
#define UNSTABLE (in_group[0] || in_group[1] || in_group[2])
#define ANY_DEAD (dead[0] || dead[1] || dead[2])
#define ANY_GONE (gone[0] || gone[1] || gone[2])
#endif

#define CLAIM_OF_ANOTHER(i) (store_claim[i] != NOBODY && store_claim[i] != i + 1)
#define HAS_FENCED(i) (fenced_ids[i] & (1 << store_claim[i]))

#ifdef NO_FENCING
#define MUST_FENCE(i) 0
#else
#define MUST_FENCE(i) (CLAIM_OF_ANOTHER(i) && !HAS_FENCED(i))
#endif

#ifdef NO_WAIT_FOR_OPEN_TRANSACTIONS
#define SETTLED(i) 1
#else
#define SETTLED(i) (STABLE >= aim[i])
#endif

#ifdef NO_WAIT_FOR_STABLE_OFFSETS
#define GROUP_ANSWERS 1
#else
#define GROUP_ANSWERS (!UNSTABLE)
#endif

/* Whether the worker's loop is at a place where it serves its membership. */
#define SERVES(i) (at[i] == IDLE || at[i] == RESTORE || at[i] == AGREE || at[i] == CHECK || \
                   at[i] == UNCLAIMED || \
                   at[i] == WORK || at[i] == FENCED || (at[i] == BUILD && purpose[i] != DO_RELEASE))

#define WRITABLE(i) (transaction[i] == NONE || transaction[i] == OPEN)
#define BUILT(i) (!to_output[i] && !to_changelog[i] && !to_offsets[i])

inline abort_if_building(i) {
  if
  :: at[i] == BUILD && current[i] -> decide_abort(i)
  :: else
  fi
}

proctype Instance(byte i) {
end:
  do
  /* -- start */
  :: atomic { at[i] == DOWN && !gone[i] -> at[i] = START }
  :: atomic { at[i] == START ->
       initialise(i, 1);
       member[i] = (dead[i] -> JOINING : IN);
       former[i] = (dead[i] && file[i]);
       at[i] = (former[i] -> RESTORE : IDLE)
     }

  /* -- what the group has to say */
  :: atomic { SERVES(i) && member[i] == OUT -> /* on_lost */
       abort_if_building(i);
       forget_transaction(i); forget_restore(i);
       at[i] = IDLE;
       erase_if_behind(i);
       member[i] = IN
     }
  :: atomic { SERVES(i) && member[i] == IN && given[i] -> /* on_assigned */
       abort_if_building(i);
       former[i] = 0;
       given[i] = 0;
       file[i] = 1;
       restore_again(i)
     }
  :: atomic { SERVES(i) && member[i] == IN && owner == i + 1 && !given[i] && revoking &&
              at[i] != BUILD -> /* on_revoked */
       if
       :: at[i] == WORK -> begin_release(i)
       :: else -> forget_transaction(i); forget_restore(i); at[i] = DROP
       fi
     }
  :: atomic { at[i] == DROP -> at[i] = IDLE; erase_if_behind(i); give_up(i) }
  :: atomic { SERVES(i) && member[i] == IN && owner == i + 1 && !given[i] && !file[i] ->
       file[i] = 1 /* on_generation */
     }

  /* -- restore */
  :: atomic { at[i] == RESTORE && store_offset[i] == 0 ->
       store_offset[i] = 1;
       store_position[i] = base_position; store_timer[i] = base_timer;
       store_value[i] = base_value; store_claim[i] = base_claim
     }
  :: atomic { at[i] == RESTORE && store_offset[i] >= 1 && !former[i] && MUST_FENCE(i) ->
       aimed[i] = 0; aim[i] = 0;
       fenced_ids[i] = fenced_ids[i] | (1 << store_claim[i]);
       k = store_claim[i] - 1;
       if
       :: k == 0 -> k = 0; initialise(0, 0)
       :: k == 1 -> k = 0; initialise(1, 0)
#if INSTANCES == 3
       :: k == 2 -> k = 0; initialise(2, 0)
#endif
       fi
     }
  :: atomic { at[i] == RESTORE && store_offset[i] >= 1 && !aimed[i] -> aimed[i] = 1; aim[i] = HIGH }
  :: atomic { at[i] == RESTORE && store_offset[i] >= 1 && aimed[i] && SETTLED(i) &&
              (former[i] || !MUST_FENCE(i)) ->
       aimed[i] = 0; aim[i] = 0;
       if
       :: former[i] && store_claim[i] != i + 1 -> at[i] = IDLE /* somebody else's */
       :: else -> at[i] = AGREE
       fi
     }
  :: atomic { at[i] == AGREE && GROUP_ANSWERS ->
       if
#ifndef NO_COMPARISON_WITH_OFFSETS
       :: group_offset > store_position[i] -> at[i] = RESTORE /* the changelog is behind: read on */
       :: group_offset < store_position[i] -> assert(false) /* stops: they were reset by hand */
       :: group_offset == store_position[i] ->
#else
       :: true ->
#endif
          at[i] = CHECK
       fi
     }
  /* No transaction of a former owner was left when the group answered: what the changelog holds now
     is all. (Before, it was not: one could be written and committed between the two answers.) */
  :: atomic { at[i] == CHECK ->
       if
#ifndef NO_SECOND_LOOK_AT_THE_CHANGELOG
       :: store_offset[i] != HIGH -> at[i] = RESTORE
       :: store_offset[i] == HIGH ->
#else
       :: true ->
#endif
          forget_restore(i);
          at[i] = (former[i] -> WORK : UNCLAIMED)
       fi
     }

  /* -- transactions begin */
  :: atomic { at[i] == UNCLAIMED ->
#ifdef NO_CLAIM
       at[i] = WORK
#else
       begin(i, DO_CLAIM); to_offsets[i] = 1
#endif
     }
  :: atomic { at[i] == WORK && store_position[i] < INPUTS ->
       begin(i, DO_WORK); item[i] = store_position[i]; to_output[i] = 1; to_offsets[i] = 1
     }
  :: atomic { at[i] == WORK && store_position[i] > 0 && store_timer[i] == 0 ->
       begin(i, DO_WORK); item[i] = TIMER; to_output[i] = 1; to_offsets[i] = 1
     }

  /* -- and are built, in any order: records go out by themselves, offsets by a request */
  :: atomic { at[i] == BUILD && current[i] && to_output[i] && WRITABLE(i) ->
       transaction[i] = OPEN; output[i] = item[i] + 1; to_output[i] = 0
     }
  :: atomic { at[i] == BUILD && current[i] && to_changelog[i] && WRITABLE(i) ->
       transaction[i] = OPEN; append(i); to_changelog[i] = 0
     }
  :: atomic { at[i] == BUILD && current[i] && to_offsets[i] && WRITABLE(i) ->
       if
       :: ACCEPTED(i) ->
          transaction[i] = OPEN;
          in_group[i] = 1;
          pending_offset[i] =
              store_position[i] + (purpose[i] == DO_WORK && item[i] != TIMER -> 1 : 0);
          to_offsets[i] = 0
       :: else ->
          decide_abort(i);
          if
          :: former[i] -> end_former(i)
          :: else -> at[i] = FENCED
          fi
       fi
     }
  :: atomic { at[i] == BUILD && !current[i] ->
       if
       :: former[i] -> end_former(i)
       :: else -> at[i] = FENCED
       fi
     }

  /* -- and end */
  :: atomic { at[i] == BUILD && BUILT(i) && current[i] && transaction[i] == OPEN ->
       if
       :: true -> decide_commit(i); at[i] = KEEP
       :: faults > 0 -> faults--; decide_commit(i); at[i] = WAIT      /* the answer is lost */
       :: faults > 0 -> faults--; late_end[i] = 1; at[i] = WAIT       /* the request is late */
       :: faults > 0 -> faults--; decide_commit(i); late_end[i] = 1;  /* it was repeated */
          replace_after[i] = 1; at[i] = KEEP
       :: faults > 0 -> faults--; decide_abort(i); rolled_back(i)     /* refused, in order */
       fi
     }
  :: atomic { at[i] == BUILD && BUILT(i) && current[i] && transaction[i] != OPEN ->
       at[i] = UNKNOWN
     }
  :: atomic { at[i] == WAIT ->
       if
       :: current[i] && transaction[i] == OPEN -> /* the client repeats its request */
          decide_commit(i); replace_after[i] = 1; at[i] = KEEP
       :: current[i] && transaction[i] != OPEN -> replace_after[i] = 1; at[i] = KEEP
       :: current[i] -> at[i] = UNKNOWN
       :: !current[i] -> at[i] = FENCED /* which does not say what became of the first request */
       fi
     }

  /* -- what the worker makes of the outcome */
  :: atomic { at[i] == KEEP ->
       if
       :: purpose[i] == DO_CLAIM -> store_claim[i] = i + 1
       :: purpose[i] == DO_WORK && item[i] != TIMER -> store_position[i]++; store_value[i]++
       :: purpose[i] == DO_WORK && item[i] == TIMER -> store_timer[i]++; store_value[i]++
       :: purpose[i] == DO_RELEASE -> store_claim[i] = NOBODY
       fi;
       store_offset[i] = own_end[i];
#ifdef NO_PRODUCER_REPLACEMENT
       replace_after[i] = 0;
#endif
       if
       :: replace_after[i] -> at[i] = REPLACE
       :: !replace_after[i] && purpose[i] == DO_RELEASE -> at[i] = DROP; forget_transaction(i)
       :: else -> at[i] = WORK; forget_transaction(i)
       fi
     }
  :: atomic { at[i] == REPLACE ->
       initialise(i, 1);
       at[i] = (purpose[i] == DO_RELEASE -> DROP : WORK);
       forget_transaction(i)
     }
  :: atomic { at[i] == UNKNOWN ->
#ifndef NO_PRODUCER_REPLACEMENT
       initialise(i, 1);
#endif
#ifdef UNKNOWN_IS_TAKEN_FOR_ABORTED
       rolled_back(i)
#else
       if
       :: purpose[i] == DO_WORK -> restore_again(i)
       :: purpose[i] == DO_CLAIM -> rolled_back(i)
       :: purpose[i] == DO_RELEASE ->
#ifdef NO_OFFSETS_WITH_RELEASE
          rolled_back(i)
#else
          forget_transaction(i); at[i] = DROP /* nothing is left that would prove another one */
#endif
       fi
#endif
     }
  :: atomic { at[i] == FENCED && (former[i] || (member[i] != OUT && !given[i])) ->
       /* The membership has been served since: whether the partition is still its own, it knows. */
       if
       :: former[i] -> end_former(i)
       :: !former[i] && purpose[i] == DO_RELEASE -> forget_transaction(i); at[i] = DROP
       :: !former[i] && purpose[i] == DO_CLAIM -> initialise(i, 1); rolled_back(i)
       :: !former[i] && purpose[i] == DO_WORK ->
          initialise(i, 1);
#ifdef FENCED_IS_TAKEN_FOR_ABORTED
          rolled_back(i)
#else
          restore_again(i)
#endif
       fi
     }
  od
}

/* ---- what happens to them ------------------------------------------------------------------ */

inline kill_instance(i) {
  if
  :: member[i] == IN -> dead[i] = 1
  :: else
  fi;
  member[i] = OUT;
  given[i] = 0;
  forget_transaction(i); forget_restore(i);
  former[i] = 0;
  current[i] = 0; /* nobody holds it */
  at[i] = DOWN;
#ifndef DEAD_COME_BACK
  if
  :: true
  :: !ANY_GONE -> gone[i] = 1
  fi;
#endif
  if
  :: true -> erase_if_behind(i)     /* the state directory is as it was */
  :: true -> erase(i)               /* it is an older copy */
  :: true -> erase(i); file[i] = 0  /* it is lost */
  fi
}

/* One process per instance for what may happen to it, so that every step names its instance. */
proctype Fate(byte i) {
end:
  do
  /* -- markers and requests under way */
  :: atomic { (transaction[i] == COMMITTING || transaction[i] == ABORTING) && in_changelog[i] ->
       mark_changelog(i) }
  :: atomic { (transaction[i] == COMMITTING || transaction[i] == ABORTING) && in_group[i] ->
       mark_group(i) }
  :: atomic { late_end[i] ->
       late_end[i] = 0;
       if
       :: transaction[i] == OPEN -> decide_commit(i)
       :: else
       fi
     }

  /* -- the group */
  :: atomic { owner == NOBODY && member[i] == IN && !ANY_DEAD ->
       owner = i + 1; given[i] = 1; next_generation() }
  :: atomic { dead[i] -> /* its session ends */
       dead[i] = 0;
       if
       :: owner == i + 1 -> owner = NOBODY; revoking = 0
       :: else
       fi;
       if
       :: member[i] == JOINING -> member[i] = IN
       :: else
       fi;
       next_generation()
     }

  /* -- faults */
  :: atomic { faults > 0 && at[i] != DOWN && at[i] != START -> faults--; kill_instance(i) }
  :: atomic { faults > 0 && member[i] == IN -> /* paused for longer than its session */
       faults--;
       member[i] = OUT; given[i] = 0;
       if
       :: owner == i + 1 -> owner = NOBODY; revoking = 0
       :: else
       fi;
       next_generation()
     }
  :: atomic { (faults > 0 || revocations > 0) && owner == i + 1 && member[i] == IN && !revoking ->
       if
       :: revocations > 0 -> revocations--
       :: else -> faults--
       fi;
       revoking = 1
     }
  :: atomic { faults > 0 && at[i] != START -> /* fenced for the sake of another partition */
       faults--; initialise(i, 0) }
  od
}

#define LEFT_OPEN(i) (transaction[i] == OPEN)

/* When nothing can happen any more: a transaction's timeout; then all must be as it should. */
proctype Rest() {
  byte i;
end:
  do
  /* A run comes to rest when none is left over. */
  :: atomic { faults > 0 || revocations > 0 -> faults = 0; revocations = 0 }
  :: atomic { timeout ->
       i = 0;
       do
       :: i < INSTANCES && !LEFT_OPEN(i) -> i++
       :: else -> break
       od;
       if
       :: i < INSTANCES ->
          /* Only whoever died before his claim was committed is waited for. */
#ifdef THE_GONE_MAY_LEAVE_OUTPUT
          assert(base_claim != i + 1 && (output[i] == 0 || gone[i]));
#else
          assert(base_claim != i + 1 && output[i] == 0);
#endif
          initialise(i, 0)
       :: else ->
          assert(owner != NOBODY);
          i = owner - 1;
          assert(at[i] == WORK && !former[i] && member[i] == IN);
          assert(base_position == INPUTS && base_timer == 1 && base_value == ITEMS);
          assert(store_position[i] == INPUTS && store_timer[i] == 1 && store_value[i] == ITEMS);
          assert(group_offset == INPUTS);
          assert(entries == 0);
#ifndef NO_CLAIM
          assert(base_claim == owner);
#endif
          i = 0;
          do
          :: i < ITEMS -> assert(outputs_of[i] == 1); i++
          :: else -> break
          od;
          break
       fi;
       i = 0
     }
  od
}

init {
  byte i;
  atomic {
    i = 0;
    do
    :: i < INSTANCES -> at[i] = START; run Instance(i); run Fate(i); i++
    :: else -> break
    od;
    i = 0;
    run Rest()
  }
}
