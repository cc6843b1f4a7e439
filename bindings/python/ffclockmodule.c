// SPDX-License-Identifier: MIT
/*
 * ffclock for Python: libffclock as an extension of the limited API (abi3), one
 * file for all of CPython from 3.9 on.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>
#include <structmember.h>

#include <linux/ffclock_math.h>

#include "ffclock.h"

/* wait() without a time: looked at for signals this often */
#define WAIT_MS		500

/**
 * struct clock - a Clock object
 * @h: handle, or NULL once it is closed
 * @waiting: threads in wait(), without the interpreter's lock; it protects both
 */
struct clock {
	PyObject_HEAD
	struct ffclock *h;
	unsigned int waiting;
};

/* of the module, which is initialised once a process */
static PyTypeObject *reading_type, *interval_type;

static PyStructSequence_Field reading_fields[] = {
	{ "time_ns", "the clock in ns since its zero (1970 for utc and tai)" },
	{ "bound_ns", "bound of its error in ns, None if unknown" },
	{ "status", "'synchronized' or why it is not" },
	{ "counter", "the counter it was read at" },
	{ "epoch", "the counter's epoch" },
	{ NULL, NULL },
};

static PyStructSequence_Desc reading_desc = {
	.name = "ffclock.Reading", .doc = "One clock at one instant.",
	.fields = reading_fields, .n_in_sequence = 5,
};

static PyStructSequence_Field interval_fields[] = {
	{ "earliest_ns", "UTC is not before this, in ns since 1970; None if unknown" },
	{ "latest_ns", "nor after this; None if unknown" },
	{ "status", "'synchronized' or why it is not" },
	{ NULL, NULL },
};

static PyStructSequence_Desc interval_desc = {
	.name = "ffclock.Interval", .doc = "The present time, as far as it is known.",
	.fields = interval_fields, .n_in_sequence = 3,
};

static PyObject *set_error(int ret)
{
	errno = -ret;
	return PyErr_SetFromErrno(PyExc_OSError);
}

/* the handle, or NULL and an exception */
static struct ffclock *handle_of(PyObject *self)
{
	struct clock *c = (struct clock *)self;

	if (!c->h)
		PyErr_SetString(PyExc_ValueError, "this Clock is closed");
	return c->h;
}

/* "utc" and so on; NULL is utc.  -1: an exception is set */
static int clock_id(const char *name)
{
	static const char *const names[FFCLOCK_NR] = { "utc", "tai", "mono", "diff" };
	int i;

	if (!name)
		return FFCLOCK_UTC;
	for (i = 0; i < FFCLOCK_NR; i++)
		if (!strcmp(name, names[i]))
			return i;
	PyErr_Format(PyExc_ValueError, "no clock '%s': there are utc, tai, mono, diff", name);
	return -1;
}

static PyObject *none(void)
{
	Py_INCREF(Py_None);
	return Py_None;
}

/* Takes the items' references; NULL if one of them could not be made */
static PyObject *sequence(PyTypeObject *type, PyObject **items, int n)
{
	PyObject *seq = PyStructSequence_New(type);
	bool bad = !seq;
	int i;

	for (i = 0; i < n; i++)
		bad |= !items[i];
	for (i = 0; i < n; i++) {
		if (bad)
			Py_XDECREF(items[i]);
		else
			PyStructSequence_SetItem(seq, i, items[i]);
	}
	if (!bad)
		return seq;
	Py_XDECREF(seq);
	return NULL;
}

static PyObject *reading(const struct ffclock_reading *r)
{
	PyObject *items[] = {
		PyLong_FromLongLong(ffclock_time_to_ns(r->time)),
		r->bound_ns == FFCLOCK_BOUND_UNKNOWN ? none() :
			PyLong_FromUnsignedLongLong(r->bound_ns),
		PyUnicode_FromString(ffclock_status_name(r->status)),
		PyLong_FromUnsignedLongLong(r->counter),
		PyLong_FromUnsignedLong(r->epoch),
	};

	return sequence(reading_type, items, 5);
}

PyDoc_STRVAR(time_ns_doc, "time_ns(clock='utc')\n--\n\n"
"The clock in nanoseconds, the fast way: neither bound nor status.");

static PyObject *clock_time_ns(PyObject *self, PyObject *args)
{
	struct ffclock *h = handle_of(self);
	const char *name = NULL;
	struct timespec ts;
	int id, ret;

	if (!h || !PyArg_ParseTuple(args, "|s:time_ns", &name))
		return NULL;
	id = clock_id(name);
	if (id < 0)
		return NULL;
	ret = ffclock_gettime(h, id, &ts);
	if (ret)
		return set_error(ret);
	return PyLong_FromLongLong(ffclock_time_to_ns((struct ffclock_time){
		ts.tv_sec, ffclock_ns_to_frac((__u32)ts.tv_nsec) }));
}

PyDoc_STRVAR(read_doc, "read(clock='utc', counter=None)\n--\n\n"
"A Reading of the clock, now or at a counter value of the present epoch.");

static PyObject *clock_read(PyObject *self, PyObject *args, PyObject *kw)
{
	static char *words[] = { "clock", "counter", NULL };
	struct ffclock *h = handle_of(self);
	PyObject *at = Py_None;
	const char *name = NULL;
	struct ffclock_reading r;
	unsigned long long counter;
	int id, ret;

	if (!h || !PyArg_ParseTupleAndKeywords(args, kw, "|sO:read", words, &name, &at))
		return NULL;
	id = clock_id(name);
	if (id < 0)
		return NULL;
	if (at == Py_None) {
		ret = ffclock_read(h, id, &r);
	} else {
		counter = PyLong_AsUnsignedLongLong(at);
		if (PyErr_Occurred())
			return NULL;
		ret = ffclock_read_at(h, id, counter, &r);
	}
	return ret ? set_error(ret) : reading(&r);
}

PyDoc_STRVAR(find_doc, "find(clock, time_ns)\n--\n\n"
"A Reading at the first counter value at which the clock reads time_ns or more.");

static PyObject *clock_find(PyObject *self, PyObject *args)
{
	struct ffclock *h = handle_of(self);
	struct ffclock_reading r;
	const char *name;
	long long ns;
	int id, ret;

	if (!h || !PyArg_ParseTuple(args, "sL:find", &name, &ns))
		return NULL;
	id = clock_id(name);
	if (id < 0)
		return NULL;
	ret = ffclock_read_inverse(h, id, ffclock_ns_to_time(ns), &r);
	return ret ? set_error(ret) : reading(&r);
}

PyDoc_STRVAR(now_doc, "now()\n--\n\n"
"The Interval that UTC is in.");

static PyObject *clock_now(PyObject *self, PyObject *unused)
{
	struct ffclock *h = handle_of(self);
	struct ffclock_interval now;
	bool known;
	int ret;

	(void)unused;
	if (!h)
		return NULL;
	ret = ffclock_now(h, &now);
	if (ret)
		return set_error(ret);
	/* an unknown bound is the end of time there */
	known = now.latest.tv_sec != INT64_MAX;

	PyObject *items[] = {
		known ? PyLong_FromLongLong(ffclock_time_to_ns((struct ffclock_time){
			now.earliest.tv_sec, ffclock_ns_to_frac((__u32)now.earliest.tv_nsec) })) :
			none(),
		known ? PyLong_FromLongLong(ffclock_time_to_ns((struct ffclock_time){
			now.latest.tv_sec, ffclock_ns_to_frac((__u32)now.latest.tv_nsec) })) :
			none(),
		PyUnicode_FromString(ffclock_status_name(now.status)),
	};
	return sequence(interval_type, items, 3);
}

PyDoc_STRVAR(counter_doc, "counter()\n--\n\n"
"(counter, epoch) as they are.");

static PyObject *clock_counter(PyObject *self, PyObject *unused)
{
	struct ffclock *h = handle_of(self);
	uint32_t epoch;
	uint64_t c;
	int ret;

	(void)unused;
	if (!h)
		return NULL;
	ret = ffclock_counter(h, &c, &epoch);
	if (ret)
		return set_error(ret);
	return Py_BuildValue("(KI)", (unsigned long long)c, (unsigned int)epoch);
}

PyDoc_STRVAR(diff_doc, "diff(a, b)\n--\n\n"
"(ns, bound_ns) from counter value a to b, by the rate alone.");

static PyObject *clock_diff(PyObject *self, PyObject *args)
{
	struct ffclock *h = handle_of(self);
	PyObject *from, *to;
	uint64_t a, b, bound;
	int64_t ns;
	int ret;

	if (!h || !PyArg_ParseTuple(args, "OO:diff", &from, &to))
		return NULL;
	a = PyLong_AsUnsignedLongLong(from);
	if (PyErr_Occurred())
		return NULL;
	b = PyLong_AsUnsignedLongLong(to);
	if (PyErr_Occurred())
		return NULL;
	ret = ffclock_diff(h, a, b, &ns, &bound);
	if (ret)
		return set_error(ret);
	return Py_BuildValue("(LK)", (long long)ns, (unsigned long long)bound);
}

PyDoc_STRVAR(wait_doc, "wait(timeout=None)\n--\n\n"
"Until parameters or epoch change or a migration comes: True; False after timeout seconds.");

static PyObject *clock_wait(PyObject *self, PyObject *args)
{
	struct clock *c = (struct clock *)self;
	struct ffclock *h = handle_of(self);
	double left = -1;
	PyObject *timeout = Py_None;
	int ret, ms;

	if (!h || !PyArg_ParseTuple(args, "|O:wait", &timeout))
		return NULL;
	if (timeout != Py_None) {
		left = PyFloat_AsDouble(timeout);
		if (PyErr_Occurred())
			return NULL;
		if (!(left >= 0)) {
			PyErr_SetString(PyExc_ValueError, "timeout must not be negative");
			return NULL;
		}
	}
	do {
		ms = left >= 0 && left * 1000 < WAIT_MS ? (int)(left * 1000) : WAIT_MS;
		c->waiting++;
		Py_BEGIN_ALLOW_THREADS
		ret = ffclock_wait(h, ms);
		Py_END_ALLOW_THREADS
		c->waiting--;
		if (PyErr_CheckSignals())
			return NULL;
		if (left >= 0)
			left -= ms / 1e3;
	} while ((!ret && (timeout == Py_None || left > 1e-3)) || ret == -EINTR);
	return ret < 0 ? set_error(ret) : PyBool_FromLong(ret);
}

PyDoc_STRVAR(close_doc, "close()\n--\n\n"
"Close the handle; with does it by itself.");

static PyObject *clock_close(PyObject *self, PyObject *unused)
{
	struct clock *c = (struct clock *)self;

	(void)unused;
	if (c->waiting) {
		PyErr_SetString(PyExc_RuntimeError, "another thread is in wait()");
		return NULL;
	}
	ffclock_close(c->h);
	c->h = NULL;
	return none();
}

static PyObject *clock_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (!handle_of(self))
		return NULL;
	Py_INCREF(self);
	return self;
}

static PyObject *clock_exit(PyObject *self, PyObject *args)
{
	PyObject *closed = clock_close(self, NULL);

	(void)args;
	if (!closed)
		return NULL;
	Py_DECREF(closed);
	Py_INCREF(Py_False);
	return Py_False;
}

static PyObject *get_status(PyObject *self, void *unused)
{
	struct ffclock *h = handle_of(self);
	int ret;

	(void)unused;
	if (!h)
		return NULL;
	ret = ffclock_status(h);
	return ret < 0 ? set_error(ret) : PyUnicode_FromString(ffclock_status_name(ret));
}

static PyObject *get_sequence(PyObject *self, void *unused)
{
	struct ffclock *h = handle_of(self);

	(void)unused;
	return h ? PyLong_FromUnsignedLongLong(ffclock_migration_sequence(h)) : NULL;
}

static PyObject *get_without_syscall(PyObject *self, void *unused)
{
	struct ffclock *h = handle_of(self);

	(void)unused;
	return h ? PyBool_FromLong(ffclock_reads_without_syscall(h)) : NULL;
}

static int clock_init(PyObject *self, PyObject *args, PyObject *kw)
{
	static char *words[] = { "page", NULL };
	struct clock *c = (struct clock *)self;
	PyObject *path = NULL;
	struct ffclock *h;
	int ret;

	if (c->h) {
		PyErr_SetString(PyExc_RuntimeError, "this Clock is open");
		return -1;
	}
	if (!PyArg_ParseTupleAndKeywords(args, kw, "|O&:Clock", words, PyUnicode_FSConverter, &path))
		return -1;
	ret = path ? ffclock_open_page(&h, PyBytes_AsString(path)) : ffclock_open(&h);
	if (ret) {
		errno = -ret;
		PyErr_SetFromErrnoWithFilename(PyExc_OSError,
					       path ? PyBytes_AsString(path) : FFCLOCK_DEV);
	} else {
		c->h = h;
	}
	Py_XDECREF(path);
	return ret ? -1 : 0;
}

static void clock_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);

	ffclock_close(((struct clock *)self)->h);
	release(self);
	Py_DECREF(type);
}

static PyMethodDef methods[] = {
	{ "time_ns", clock_time_ns, METH_VARARGS, time_ns_doc },
	{ "read", (PyCFunction)(void (*)(void))clock_read, METH_VARARGS | METH_KEYWORDS, read_doc },
	{ "find", clock_find, METH_VARARGS, find_doc },
	{ "now", clock_now, METH_NOARGS, now_doc },
	{ "counter", clock_counter, METH_NOARGS, counter_doc },
	{ "diff", clock_diff, METH_VARARGS, diff_doc },
	{ "wait", clock_wait, METH_VARARGS, wait_doc },
	{ "close", clock_close, METH_NOARGS, close_doc },
	{ "__enter__", clock_enter, METH_NOARGS, NULL },
	{ "__exit__", clock_exit, METH_VARARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef attributes[] = {
	{ "status", get_status, NULL, "'synchronized' or why it is not", NULL },
	{ "migration_sequence", get_sequence, NULL,
	  "changes with every migration, restore or suspend; one load", NULL },
	{ "without_syscall", get_without_syscall, NULL,
	  "whether reads take no system call at the moment", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(clock_doc, "Clock(page=None)\n--\n\n"
"The machine's feed-forward clocks, or those of a page file.\n\n"
"clock is 'utc', 'tai', 'mono' or 'diff' everywhere. What fails raises OSError\n"
"with the errno of libffclock(3). Threads may share a Clock.");

static PyType_Slot slots[] = {
	{ Py_tp_doc, (void *)clock_doc },
	{ Py_tp_init, clock_init },
	{ Py_tp_dealloc, clock_dealloc },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, attributes },
	{ Py_tp_new, PyType_GenericNew },
	{ 0, NULL },
};

static PyType_Spec spec = {
	.name = "ffclock.Clock", .basicsize = sizeof(struct clock),
	.flags = Py_TPFLAGS_DEFAULT, .slots = slots,
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT, .m_name = "ffclock",
	.m_doc = "Feed-forward clocks on a raw counter: see ffclock.Clock.", .m_size = -1,
};

PyMODINIT_FUNC PyInit_ffclock(void);

PyMODINIT_FUNC PyInit_ffclock(void)
{
	PyObject *m = PyModule_Create(&module), *type;

	if (!m)
		return NULL;
	type = PyType_FromSpec(&spec);
	reading_type = PyStructSequence_NewType(&reading_desc);
	interval_type = PyStructSequence_NewType(&interval_desc);
	/* the module takes these references, and ours of both types stay */
	if (!type || PyModule_AddObject(m, "Clock", type) ||
	    !reading_type || PyModule_AddObject(m, "Reading", (PyObject *)reading_type) ||
	    !interval_type || PyModule_AddObject(m, "Interval", (PyObject *)interval_type)) {
		Py_DECREF(m);
		return NULL;
	}
	Py_INCREF((PyObject *)reading_type);
	Py_INCREF((PyObject *)interval_type);
	return m;
}
