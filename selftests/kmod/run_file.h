/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test module's file in debugfs, DIR/run: a command is written, which returns
 * when it is done, and its results are read as "key value" lines.
 */
#ifndef _FFCLOCK_RUN_FILE_H
#define _FFCLOCK_RUN_FILE_H

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

/**
 * struct run_file - the file
 * @command: runs a command, in process context; 0, or a negative errno that the
 *	writer gets
 * @show: writes the results of the last
 * @mutex: one @command or @show at a time
 * @dir: its directory
 */
struct run_file {
	int (*command)(const char *text);
	void (*show)(struct seq_file *m);
	struct mutex mutex;
	struct dentry *dir;
};

static ssize_t run_file_write(struct file *file, const char __user *buf, size_t count,
			      loff_t *pos)
{
	struct run_file *f = ((struct seq_file *)file->private_data)->private;
	char text[64];
	int ret;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = '\0';
	mutex_lock(&f->mutex);
	ret = f->command(strim(text));
	mutex_unlock(&f->mutex);
	return ret ?: count;
}

static int run_file_show(struct seq_file *m, void *unused)
{
	struct run_file *f = m->private;

	mutex_lock(&f->mutex);
	f->show(m);
	mutex_unlock(&f->mutex);
	return 0;
}

static int run_file_open(struct inode *inode, struct file *file)
{
	return single_open(file, run_file_show, inode->i_private);
}

static const struct file_operations run_file_fops = {
	.owner		= THIS_MODULE,
	.open		= run_file_open,
	.read		= seq_read,
	.write		= run_file_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static void run_file_create(struct run_file *f, const char *dir)
{
	mutex_init(&f->mutex);
	f->dir = debugfs_create_dir(dir, NULL);
	debugfs_create_file("run", 0600, f->dir, f, &run_file_fops);
}

/* Returns when nobody is in the file's functions any more */
static void run_file_remove(struct run_file *f)
{
	debugfs_remove(f->dir);
}

#endif /* _FFCLOCK_RUN_FILE_H */
