// SPDX-License-Identifier: MIT
/*
 * ffclock for C++17: libffclock as a handle that closes itself, std::chrono
 * clocks, and the present time as an interval.  Header only; link with -lffclock.
 *
 *	ff::handle clocks;				// or clocks("FILE"): a page file
 *	auto t = clocks.now<ff::utc_clock>();	// std::chrono::time_point
 *	auto i = clocks.now();				// interval: [earliest, latest]
 *	auto u = ff::utc_clock::now();		// the machine's, opened once
 *
 * What fails throws std::system_error with the errno of libffclock(3).
 */
#ifndef FFCLOCK_HPP
#define FFCLOCK_HPP

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <ffclock.h>

namespace ff {

enum class status : std::uint32_t {
	unknown = FFCLOCK_STATUS_UNKNOWN,
	initializing = FFCLOCK_STATUS_INITIALIZING,
	synchronized = FFCLOCK_STATUS_SYNCHRONIZED,
	freerunning = FFCLOCK_STATUS_FREERUNNING,
	unreliable = FFCLOCK_STATUS_UNRELIABLE,
};

inline const char *to_string(status s)
{
	return ffclock_status_name(static_cast<std::uint32_t>(s));
}

using nanoseconds = std::chrono::duration<std::int64_t, std::nano>;

class handle;

/*
 * The clocks, for std::chrono: now() reads the machine's, which is opened at the
 * first use (throws if the module is not loaded; see also use()).  The epoch of
 * utc and tai is 1970; utc counts as POSIX does, so it converts to system_clock.
 */
template <enum ffclock_id Id, bool Steady> struct basic_clock {
	using rep = std::int64_t;
	using period = std::nano;
	using duration = nanoseconds;
	using time_point = std::chrono::time_point<basic_clock, duration>;
	static constexpr bool is_steady = Steady;
	static constexpr enum ffclock_id id = Id;

	static time_point now();
};

using utc_clock = basic_clock<FFCLOCK_UTC, false>;
using tai_clock = basic_clock<FFCLOCK_TAI, false>;
/* never back; its rate is within 5000 ppm of the counter's */
using mono_clock = basic_clock<FFCLOCK_MONO, true>;

inline std::chrono::system_clock::time_point to_sys(utc_clock::time_point t)
{
	using std::chrono::system_clock;

	return system_clock::time_point(
		std::chrono::duration_cast<system_clock::duration>(t.time_since_epoch()));
}

/* One clock, its bound and status, at one instant */
template <class Clock> struct reading {
	typename Clock::time_point time;
	std::optional<nanoseconds> bound;	/* none: unknown */
	enum status status;
	std::uint64_t counter;
	std::uint32_t epoch;
};

/* The present UTC, as far as it is known: it is not before earliest nor after latest */
struct interval {
	utc_clock::time_point earliest;
	utc_clock::time_point latest;
	enum status status;

	bool synchronized() const { return status == status::synchronized; }
	/* t has passed, for certain; t is still to come, for certain */
	bool after(utc_clock::time_point t) const { return earliest > t; }
	bool before(utc_clock::time_point t) const { return latest < t; }
	nanoseconds width() const
	{
		/* an unknown bound: all of time, which no duration holds */
		if (latest == utc_clock::time_point::max())
			return nanoseconds::max();
		return latest - earliest;
	}
};

/* Time between two counter values by the rate alone */
struct span {
	nanoseconds length;
	nanoseconds bound;
};

namespace detail {

inline void check(int ret, const char *what)
{
	if (ret < 0)
		throw std::system_error(-ret, std::generic_category(), what);
}

/* Saturates, as the C library's conversions do */
inline std::int64_t to_ns(std::int64_t sec, std::int64_t ns)
{
	constexpr std::int64_t max = std::numeric_limits<std::int64_t>::max();

	if (sec >= max / 1000000000)
		return max;
	if (sec <= -(max / 1000000000))
		return std::numeric_limits<std::int64_t>::min();
	return sec * 1000000000 + ns;
}

inline std::int64_t to_ns(const struct ffclock_time &t)
{
	__extension__ using wide = unsigned __int128;

	return to_ns(t.sec, static_cast<std::int64_t>(static_cast<wide>(t.frac) * 1000000000 >> 64));
}

inline nanoseconds bound(std::uint64_t ns)
{
	constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

	return nanoseconds(static_cast<std::int64_t>(ns > max ? max : ns));
}

struct closer {
	void operator()(struct ffclock *h) const { ffclock_close(h); }
};

} /* namespace detail */

/* May be used by any number of threads at once, and after fork() */
class handle {
public:
	handle()
	{
		struct ffclock *h = nullptr;

		detail::check(ffclock_open(&h), FFCLOCK_DEV);
		h_.reset(h);
	}

	explicit handle(const std::string &page)
	{
		struct ffclock *h = nullptr;

		detail::check(ffclock_open_page(&h, page.c_str()), page.c_str());
		h_.reset(h);
	}

	template <class Clock> typename Clock::time_point now() const
	{
		struct timespec ts;

		detail::check(ffclock_gettime(get(), Clock::id, &ts), "ffclock_gettime");
		return typename Clock::time_point(nanoseconds(detail::to_ns(ts.tv_sec, ts.tv_nsec)));
	}

	interval now() const
	{
		struct ffclock_interval i;

		detail::check(ffclock_now(get(), &i), "ffclock_now");
		return { utc_clock::time_point(nanoseconds(detail::to_ns(i.earliest.tv_sec,
									 i.earliest.tv_nsec))),
			 utc_clock::time_point(nanoseconds(detail::to_ns(i.latest.tv_sec,
									 i.latest.tv_nsec))),
			 static_cast<enum status>(i.status) };
	}

	template <class Clock> reading<Clock> read() const
	{
		struct ffclock_reading r;

		detail::check(ffclock_read(get(), Clock::id, &r), "ffclock_read");
		return make<Clock>(r);
	}

	/* at a counter value of the present epoch */
	template <class Clock> reading<Clock> read_at(std::uint64_t counter) const
	{
		struct ffclock_reading r;

		detail::check(ffclock_read_at(get(), Clock::id, counter, &r), "ffclock_read_at");
		return make<Clock>(r);
	}

	std::uint64_t counter(std::uint32_t *epoch = nullptr) const
	{
		std::uint64_t c;

		detail::check(ffclock_counter(get(), &c, epoch), "ffclock_counter");
		return c;
	}

	span difference(std::uint64_t from, std::uint64_t to) const
	{
		std::uint64_t bound;
		std::int64_t ns;

		detail::check(ffclock_diff(get(), from, to, &ns, &bound), "ffclock_diff");
		return { nanoseconds(ns), detail::bound(bound) };
	}

	enum status status() const
	{
		int ret = ffclock_status(get());

		detail::check(ret, "ffclock_status");
		return static_cast<enum status>(ret);
	}

	/* changes with every disruption of the machine; one load */
	std::uint64_t migration_sequence() const noexcept
	{
		return ffclock_migration_sequence(get());
	}

	/* true: something changed within the time; throws on what is not a time-out */
	bool wait(std::chrono::milliseconds timeout) const
	{
		int ret = ffclock_wait(get(), static_cast<int>(timeout.count()));

		detail::check(ret, "ffclock_wait");
		return ret > 0;
	}

	/* for what is not wrapped; stays ours */
	struct ffclock *get() const noexcept { return h_.get(); }

private:
	template <class Clock> static reading<Clock> make(const struct ffclock_reading &r)
	{
		reading<Clock> out{ typename Clock::time_point(nanoseconds(detail::to_ns(r.time))),
				    std::nullopt, static_cast<enum status>(r.status), r.counter,
				    r.epoch };

		if (r.bound_ns != FFCLOCK_BOUND_UNKNOWN)
			out.bound = detail::bound(r.bound_ns);
		return out;
	}

	std::unique_ptr<struct ffclock, detail::closer> h_;
};

namespace detail {

inline std::optional<handle> &chosen()
{
	static std::optional<handle> h;

	return h;
}

inline const handle &machine()
{
	/* once, whoever comes first; a failure throws and is tried again next time */
	static const handle h = chosen() ? std::move(*chosen()) : handle();

	return h;
}

} /* namespace detail */

/* What the clocks' static now() shall read; before their first use, in one thread */
inline void use(handle h)
{
	detail::chosen() = std::move(h);
}

template <enum ffclock_id Id, bool Steady>
typename basic_clock<Id, Steady>::time_point basic_clock<Id, Steady>::now()
{
	return detail::machine().template now<basic_clock>();
}

} /* namespace ff */

#endif /* FFCLOCK_HPP */
