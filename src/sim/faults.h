/*
 * What goes wrong in a simulated cluster, and when. Each seed takes a random subset of the kinds of faults, with random
 * intervals (Groce et al. 2012, "Swarm testing"); what begins also ends after a while. faults_end ends all of them.
 */
#ifndef IKADA_SIM_FAULTS_H
#define IKADA_SIM_FAULTS_H

#include "sim/clients.h"
#include "sim/cluster.h"

enum fault_kind {
	FAULT_STOP,	  /* A process is asked to end. */
	FAULT_KILL,	  /* A process dies. */
	FAULT_POWER,	  /* A machine dies. */
	FAULT_ALL,	  /* All of them at once. */
	FAULT_LEADER,	  /* The leader dies, or is cut off, or is paused. */
	FAULT_POINT,	  /* A node dies between two actions of its own: after a step, after a message. */
	FAULT_SPLIT,	  /* The network falls into two parts. */
	FAULT_BRIDGE,	  /* ... which one node still connects. */
	FAULT_ONE_WAY,	  /* Some ways are cut in one direction. */
	FAULT_CLIENTS,	  /* A node is cut off from the clients. */
	FAULT_SLOW,	  /* Slow links. */
	FAULT_LOSSY,	  /* Links that lose and double frames. */
	FAULT_BREAK,	  /* Connections are reset. */
	FAULT_PAUSE,	  /* A process stands still. */
	FAULT_LATE,	  /* Wake-ups come late. */
	FAULT_RATE,	  /* Clocks run too fast or too slow. */
	FAULT_WALL,	  /* The wall clock jumps. */
	FAULT_STALL,	  /* A disk hangs. */
	FAULT_SLOW_SYNC,  /* A disk is slow. */
	FAULT_DISK_FULL,  /* A disk has no room. */
	FAULT_DISK_ERROR, /* A write or sync fails. */
	FAULT_SNAPSHOT,	  /* A node dies at a step of taking a snapshot, or of receiving one. */
	/* A bit flips in a node's state: once in a run, so that the others have a majority, and only if it is noticed
	 * before it has got into all snapshots. */
	FAULT_FLIP,
	FAULT_KINDS,
};

struct faults;

/* `hurry`: 1, or the factor by which faults come, and go, faster. */
struct faults *faults_create(struct cluster *cluster, struct clients *clients, uint64_t hurry, uint64_t seed);
void faults_destroy(struct faults *faults); /* After sim_destroy. */
void faults_start(struct faults *faults);
/* Heals everything and starts everybody. */
void faults_end(struct faults *faults);

/* For struct rules_hooks. */
void faults_point(struct faults *faults, uint32_t node);
void faults_snapshot_step(struct faults *faults, uint32_t node, enum node_snapshot_step step);
/* A process ended by itself and was excused: it starts again after a while. */
void faults_ended(struct faults *faults, struct member *member);

/* How often a node died at this step. */
uint64_t faults_deaths(const struct faults *faults, enum node_snapshot_step step);
uint64_t faults_count(const struct faults *faults, enum fault_kind kind);
const char *fault_name(enum fault_kind kind);

#endif
