/* An intrusive, circular, doubly linked list. The head is a link of its own; a link not in a list points to itself. */
#ifndef IKADA_BASE_LIST_H
#define IKADA_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_OF(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void list_init(struct list *link)
{
	link->next = link;
	link->prev = link;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* Adds `link` at the end of the list. */
static inline void list_push(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Adds `link` at the start of the list. */
static inline void list_push_first(struct list *head, struct list *link)
{
	list_push(head->next, link);
}

/* Takes `link` out of whatever list it is in; harmless for one that is in none. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#endif
